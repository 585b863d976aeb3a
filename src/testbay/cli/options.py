"""The arguments that several commands share, and the service that they name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from testbay import settings as configuration
from testbay.cli import completion
from testbay.errors import BayError

Service = Annotated[
    str | None,
    typer.Argument(
        metavar="SERVICE",
        help="A service's name, or its folder; may be left out if the project has only one.",
        show_default=False,
        autocompletion=completion.services,
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="auto, compose or embedded (also TESTBAY_ENGINE).",
        show_default=False,
        autocompletion=completion.engines,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Only this part of the tests (also TESTBAY_SHARD).", show_default=False
    ),
]
DurationsOption = Annotated[
    str | None,
    typer.Option(
        "--durations",
        metavar="FILE",
        help="With --shard: split by these recorded durations (also TESTBAY_DURATIONS).",
        show_default=False,
    ),
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
