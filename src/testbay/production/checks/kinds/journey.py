"""The journey check: steps that use values of earlier ones, and a cleanup that always runs."""

from collections.abc import Sequence
from typing import Any

from testbay.manifest import placeholders
from testbay.manifest.checks import JourneyCheck, Step
from testbay.manifest.expressions.evaluate import NotMetError, show
from testbay.manifest.expressions.parse import expression
from testbay.production.checks.context import CheckContext, FoundError, Passed, deadline, judge
from testbay.production.checks.exchange import exchange
from testbay.production.checks.kinds.websocket import Conversation, hold
from testbay.text import plural


class Journey:
    """One run of a journey. `_scope` grows with each step; `_reached` tells whether anything may have been changed."""

    def __init__(self, context: CheckContext, check: JourneyCheck) -> None:
        self._asking = context
        self._check = check
        self._scope = context.scope()
        self._reached = False

    async def go(self) -> Passed:
        """Take every step until one fails.

        Raises:
            FoundError: It says which.
        """
        asking, steps = self._asking, self._check.step
        async with deadline("the journey", self._check.timeout, asking.deadline, host=asking.host) as progress:
            for number, step in enumerate(steps, 1):
                progress.said = f": step {number} of {len(steps)} did not end"
                await self._take(number, step, steps)
        return Passed(said=plural(len(steps), "step"))

    async def clean(self) -> Passed:
        """Take every step of the cleanup, even after a failed one.

        Raises:
            FoundError: `fail` if one is wrong, `skip` if there is nothing to clean, `error` if what is to be cleaned
                was never captured.
        """
        wrong = []
        missing = sorted({n for s in self._check.cleanup for n in placeholders.names_in(_sent(s))} - self._has())
        for number, step in enumerate(self._check.cleanup, 1):
            if placeholders.names_in(_sent(step)) <= self._has():
                try:
                    async with deadline("the cleanup", self._check.timeout, host=self._asking.host):
                        await self._take(number, step, self._check.cleanup)
                except FoundError as error:
                    wrong.append(error)
        if wrong:
            rest = [line for error in wrong for line in (error.said, *error.evidence)]
            raise FoundError(wrong[0].verdict, f"{self._tag()} may be left behind: {wrong[0].said}", rest[1:])
        if missing and self._reached:
            raise FoundError("error", f"{self._tag()} may be left behind: {', '.join(missing)} never captured")
        if missing:
            raise FoundError("skip", "nothing was created, so there is nothing to clean up")
        return Passed(said="cleaned")

    def _has(self) -> set[str]:
        secrets = {
            name
            for name in {name for step in self._check.cleanup for name in placeholders.names_in(_sent(step))}
            if name.startswith(placeholders.SECRET)
        }
        return {"run.id", *secrets, *self._scope.known}

    def _tag(self) -> str:
        return f"something of {self._asking.run_id}"

    async def _take(self, number: int, step: Step, steps: Sequence[Step]) -> None:
        before, self._reached = self._reached, self._reached or step.method not in ("", "get", "head")
        try:
            values = await (self._speak(step) if step.websocket else self._exchange(step))
            self._capture(step, values)
        except FoundError as error:
            self._reached = before or (error.reached and self._reached)
            said = f"step {number} of {len(steps)}: {error.said}"
            raise FoundError(error.verdict, said, error.evidence, reached=error.reached) from None

    async def _exchange(self, step: Step) -> dict[str, Any]:
        answer = await exchange(self._asking, step, self._scope)
        values = self._asking.names(**self._scope.known, **answer.values)
        self._keep_secrets(step, values)
        self._capture_early(step, values)
        judge(step.expect, values, [answer.line(shown=not step.capture_secret)])
        return values

    async def _speak(self, step: Step) -> dict[str, Any]:
        assert step.websocket is not None
        talk = Conversation(
            path=placeholders.filled_path(step.websocket, self._scope),
            headers=placeholders.filled_headers(step.headers, self._scope),
            steps=step.steps,
            close=step.close,
            shown=not step.capture_secret,
        )
        try:
            await hold(self._asking, talk, self._scope)
        finally:
            self._keep_secrets(step, talk.values)
        return talk.values

    def _keep_secrets(self, step: Step, values: dict[str, Any]) -> None:
        """Note captured secrets before anything of the answer is shown."""
        for text in step.capture_secret.values():
            try:
                found = expression(text).value(values)
            except NotMetError:
                continue
            if isinstance(found, str | int) and not isinstance(found, bool):
                self._asking.secrets.add(str(found))

    def _capture_early(self, step: Step, values: dict[str, Any]) -> None:
        """Capture values before judging: an unexpected answer may name something that the cleanup must remove."""
        try:
            self._capture(step, values)
        except FoundError:
            return

    def _capture(self, step: Step, values: dict[str, Any]) -> None:
        for name, text in {**step.capture, **step.capture_secret}.items():
            try:
                found = expression(text).value(values)
            except NotMetError as error:
                raise FoundError("fail", f"cannot capture {name}: {error}") from None
            if not isinstance(found, str | int | float) or found == "":
                shown = "it" if name in step.capture_secret else show(found)
                raise FoundError("fail", f"cannot capture {name}: {shown} is not a text or number, or is empty")
            self._scope.known[name] = found


def _sent(step: Step) -> list[Any]:
    return [step.path, step.websocket, step.body, step.form, step.headers, [message.send for message in step.steps]]
