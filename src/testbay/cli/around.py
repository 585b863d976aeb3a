"""Commands around another program: what stands behind the dashes is that program's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperCommand


class AroundACommand(TyperCommand):
    """Everything behind the first -- is for another program, whether or not a service stands before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep it in `ctx.args`, behind what this command does not know itself."""
        at = args.index("--") if "--" in args else len(args)
        super().parse_args(ctx, args[:at])
        ctx.args = [*ctx.args, *args[at + 1 :]]
        return list(ctx.args)


def service_and_words(service: str | None, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The service, and what is for pytest: an option, a file or a test's id in the service's place is pytest's, too."""
    if service and (service.startswith("-") or Path(service.partition("::")[0]).is_file()):
        return None, [service, *words]
    return service, list(words)
