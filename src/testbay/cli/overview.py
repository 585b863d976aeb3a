"""The list of commands of `testbay --help`, in groups, each command with its whole first sentence."""

import itertools
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from testbay import settings as configuration
from testbay.errors import ManifestError

GROUPS = {
    "Tests": ("init", "compose", "run", "merge", "report", "open", "exec", "with-secrets"),
    "Stacks": ("up", "logs", "migrate", "down", "ps", "gc", "servers"),
    "Production": (
        "check",
        "watch",
        "note",
        "incidents",
        "history",
        "latency",
        "status-page",
        "metrics",
    ),
    "Help": ("doctor", "explain"),
}
_WIDEST = 110


class GroupedCommands(TyperGroup):
    """The commands below the headings of `GROUPS`, in colour where a person reads them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option whose value is empty: `--history ""` would be this folder, `--branch ""` no branch."""
        found = self.get_command(ctx, args[0]) if args else None
        valued = {
            name for one in getattr(found, "params", ()) if not getattr(one, "is_flag", True) for name in one.opts
        }
        for name, value in _with_values(args[: args.index("--")] if "--" in args else args):
            if name in valued and not value and not ctx.resilient_parsing:  # which is how words are completed
                raise ManifestError(
                    f"{name}: its value is empty", todo="give it one, or leave it out; is a variable not set?"
                )
        return list(super().parse_args(ctx, args))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Get a command, without the Python types that typer prints beside an argument's name in its help."""
        found = super().get_command(ctx, cmd_name)
        for parameter in getattr(found, "params", ()):
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - typer gives it by name
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        formatter.width = min(shutil.get_terminal_size().columns, _WIDEST)
        for title, names in GROUPS.items():
            with formatter.section(styled(title, bold=True)):
                rows = [(name, sentence(self.commands[name].help)) for name in names]
                formatter.write_dl([(styled(name, fg="cyan"), said) for name, said in rows])


def _with_values(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a command line, each with what follows it."""
    for word, following in itertools.pairwise([*words, "-"]):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            yield name, value if equals else following


def sentence(text: str | None) -> str:
    """Extract the first sentences of a command's help, before its details and its example."""
    first = (text or "").partition("\n\n")[0].partition("Example:")[0]
    return " ".join(first.split())


def styled(text: str, **style: Any) -> str:
    return typer.style(text, **style) if coloured() else text


def coloured() -> bool:
    """Return whether standard output shows colours: a terminal that is not dumb, and no NO_COLOR (no-color.org)."""
    environ = configuration.environ()
    return sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
