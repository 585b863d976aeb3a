"""The arguments that several commands share, and the service that they name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from testbay import settings as configuration
from testbay.cli import completion
from testbay.errors import BayError

Complete = Callable[[str], list[str]]


def option(metavar: str, about: str, *names: str, complete: Complete | None = None) -> Any:
    """An option with a value, of the parameter's name or of `names`; `complete` offers values to a shell."""
    return typer.Option(*names, metavar=metavar, help=about, autocompletion=complete)


def argument(metavar: str, about: str, *, complete: Complete | None = None) -> Any:
    """A positional argument; `complete` offers values to a shell."""
    return typer.Argument(metavar=metavar, help=about, autocompletion=complete)


Service = Annotated[
    str | None,
    argument(
        "SERVICE",
        "A service's name, or its folder; may be left out if the project has only one.",
        complete=completion.services,
    ),
]
EngineOption = Annotated[
    str | None,
    option("ENGINE", "auto, compose or embedded (also TESTBAY_ENGINE).", "--engine", complete=completion.engines),
]
ShardOption = Annotated[str | None, option("I/N", "Only this part of the tests (also TESTBAY_SHARD).", "--shard")]
DurationsOption = Annotated[
    str | None,
    option("FILE", "With --shard: split by these recorded durations (also TESTBAY_DURATIONS).", "--durations"),
]
ColdOption = Annotated[bool, typer.Option("--cold", help="Initialise and migrate from scratch (also TESTBAY_COLD=1).")]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}


@contextmanager
def errors_aside(*, when: bool = True) -> Iterator[None]:
    """Have an error go to standard error, where a program reads what the command prints."""
    try:
        yield
    except BayError as error:
        error.is_aside = when
        raise


def read_service(
    service: str | None, engine: str | None, *, todo: str = "name one of them", **flags: Any
) -> tuple[Any, Path, configuration.Settings]:
    """Read the named service, or that of the current folder; also the project and the settings of this call.

    `todo` is the remedy for an unknown service.
    """
    from testbay.manifest.project import find_project, find_service

    chosen, here = configuration.load(engine=engine, **flags), Path.cwd()
    project = find_project(here)
    return find_service(service, project, here, todo=todo), project, chosen
