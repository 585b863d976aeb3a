"""Commands around another program: what stands behind the dashes is that program's."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

_NEAR = 0.85  # --engne is, pytest's --cov and --no-cov are not


class AroundACommand(TyperCommand):
    """Everything behind the first -- is for another program, whether or not a service stands before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep it in `ctx.args`, behind what this command does not know itself."""
        at = args.index("--") if "--" in args else len(args)
        self._refuse_typos(ctx, args[:at])
        super().parse_args(ctx, args[:at])
        ctx.args = [*ctx.args, *args[at + 1 :]]
        return list(ctx.args)

    def _refuse_typos(self, ctx: Any, args: list[str]) -> None:
        """An option that is nearly one of ours would be refused by the other program, once the servers are there."""
        own = [name for option in self.params for name in option.opts if name.startswith("--")]
        for word in (word.partition("=")[0] for word in args if word.startswith("--")):
            if word not in own and (meant := difflib.get_close_matches(word, own, 1, _NEAR)):
                raise typer.BadParameter(
                    f"unknown option {word}: did you mean {meant[0]}? What is for the other program stands behind --",
                    ctx=ctx,
                )


def service_and_words(service: str | None, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The service, and what is for pytest: an option, a file or a test's id in the service's place is pytest's, too."""
    if service and (service.startswith("-") or Path(service.partition("::")[0]).is_file()):
        return None, [service, *words]
    return service, list(words)
