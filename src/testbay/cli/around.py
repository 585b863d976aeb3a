"""Commands that run another program: arguments after `--` belong to that program."""

import difflib
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from testbay.errors import BayError
from testbay.manifest.files import manifest_file
from testbay.manifest.project import find_project, service_folders

_BEHIND = {"run": "[-- PYTEST_ARGUMENT...]", "open": "[-- COMMAND...]"}
_NEAR = 0.85  # --engne is, pytest's --cov and --no-cov are not


class AroundACommand(TyperCommand):
    """A command whose arguments after the first `--` go to another program, with or without a service before it."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Show the arguments behind `--` in the usage line."""
        return [*super().collect_usage_pieces(ctx), _BEHIND.get(str(self.name), "-- COMMAND...")]

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """Leave `-h` to `parse_args`: click's parser also finds that letter in pytest's `-khealth`."""
        return [name for name in super().get_help_option_names(ctx) if name != "-h"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command's own options; collect all other arguments in `ctx.args`."""
        at = args.index("--") if "--" in args else len(args)
        self._refuse_typos(ctx, args[:at])
        super().parse_args(ctx, ["--help" if word == "-h" else word for word in args[:at]])
        ctx.args = [*ctx.args, *args[at + 1 :]]
        return list(ctx.args)

    def _refuse_typos(self, ctx: Any, args: list[str]) -> None:
        """Refuse a misspelt option of ours at once: the other program would do so only after the servers started."""
        own = [name for option in self.params for name in option.opts if name.startswith("--")]
        for word in (word.partition("=")[0] for word in args if word.startswith("--")):
            if word not in own and (meant := difflib.get_close_matches(word, own, 1, _NEAR)):
                raise typer.BadParameter(
                    f"unknown option {word}: did you mean {meant[0]}? Arguments for the other program go after --",
                    ctx=ctx,
                )


def service_and_words(service: str | None, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Separate the service from pytest's arguments: an option, a path or a test's id in its place is pytest's.

    Raises:
        typer.BadParameter: What is to be pytest's is another program, or a file that does not exist.
    """
    of_pytest = [service] if service and (service.startswith("-") or _is_path(service)) else []
    if service and not of_pytest and not Path(service).is_dir() and any(sign in service for sign in "/.:"):
        raise typer.BadParameter(
            f"{service}: no such file or folder in {Path.cwd()}; "
            "a test is named by its path from here, as in tests/test_orders.py::test_created"
        )
    words = [*of_pytest, *words]
    if words and shutil.which(words[0]) and not Path(words[0]).exists():
        raise typer.BadParameter(
            f"arguments after -- go to pytest, and {words[0]} is a program; "
            f"to run it on the servers: testbay exec -- {shlex.join(words)}"
        )
    return _service_of(words) if of_pytest or service is None else service, words


def _service_of(words: Sequence[str]) -> str | None:
    """Find the folder of the one service in which all files and folders among pytest's words lie.

    None if they lie in several or outside of all, and in the folder of a service: there that one is meant.
    """
    here = Path.cwd()
    with suppress(BayError):
        project = find_project(here)
        services = {folder.resolve() for folder in service_folders(project).values()}
        if not services.isdisjoint({here, *here.parents} - {project}):
            return None
        named = [here / word.partition("::")[0] for word in words if not word.startswith("-")]
        paths = [path.resolve() for path in named if path.is_file() or (path.parent != here and path.is_dir())]
        found = {next((one for one in (path, *path.parents) if one in services), None) for path in paths}
        return str(only) if len(found) == 1 and (only := found.pop()) else None
    return None


def _is_path(word: str) -> bool:
    """Return whether a word names a file, or a folder that holds no service."""
    path = Path(word.partition("::")[0])
    if not path.is_dir():
        return path.is_file()
    with suppress(BayError):
        return word not in service_folders(find_project(Path.cwd())) and not manifest_file(path)
    return False
