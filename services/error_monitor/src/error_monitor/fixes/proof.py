"""The proof: two versions of the service and one harness decide; what the model says about them does not count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.jail import Jail, Order
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.rails import changed_lines
from error_monitor.fixes.records import Answer, Edit, Outcome, Proof, RefusedError
from error_monitor.fixes.runs import outcome

GREEN_RUNS = 3
_PLAIN = ("--tb=native", "-p", "no:cacheprovider", "-p", "no:randomly")


@dataclass(frozen=True, kw_only=True)
class Proving:
    """Everything that the runs have in common."""

    jail: Jail
    checkout: Checkout
    settings: FixSettings

    async def prove(self, answer: Answer, pattern: Mapping[str, Any]) -> Proof:
        """Red on the base with the pattern's fingerprint, green with the patch, and the whole suite green.

        Raises:
            RefusedError: One of the runs says otherwise, or two of them disagree.
        """
        runs: list[Outcome] = []
        try:
            await self._decide(runs, answer, pattern)
        except RefusedError as exc:
            raise RefusedError(exc.rung, exc.reason, runs=Proof(jail=self.jail.name, runs=runs)) from exc
        return Proof(jail=self.jail.name, runs=runs)

    async def _decide(self, runs: list[Outcome], answer: Answer, pattern: Mapping[str, Any]) -> None:
        assert answer.test is not None
        both = [answer.test, *answer.patch]
        await self._red(runs, answer.test, pattern["fingerprint"])
        for number in range(GREEN_RUNS):
            await self._green(runs, both, number + 1)
        await self._suite(runs, both)
        self._covered(runs[-1], answer)

    async def _red(self, runs: list[Outcome], test: Edit, fingerprint: str) -> None:
        found = await self._run(runs, "new test on the base", [test], test.path)
        if found.problem:
            raise RefusedError(5, f"the new test on the base: {found.problem}")
        if not found.tests:
            raise RefusedError(5, "the new test on the base: no test ran")
        if not found.having("failed") | found.having("error"):
            raise RefusedError(5, "the new test passes on the base: it reproduces nothing")
        if fingerprint not in found.fingerprints:
            raise RefusedError(5, "the new test fails on the base for another reason than the pattern")

    async def _green(self, runs: list[Outcome], both: Sequence[Edit], number: int) -> None:
        found = await self._run(runs, f"new test with the patch, {number} of {GREEN_RUNS}", both, both[0].path)
        if found.problem:
            raise RefusedError(5, f"the new test with the patch: {found.problem}")
        wanted = set(runs[0].tests)
        if not found.tests:
            raise RefusedError(5, f"the {found.name}: it ended with code {found.exit_code} before any test ran")
        again = " after it had passed: it is a flake" if number > 1 else ""
        if found.having("failed") | found.having("error"):
            raise RefusedError(5, f"the new test fails with the patch{again}")
        if found.having("passed") != wanted or set(found.tests) != wanted:
            raise RefusedError(5, f"other tests ran with the patch than on the base{again}")
        if found.exit_code:
            raise RefusedError(5, f"no test fails with the patch, but the run ends with code {found.exit_code}{again}")

    async def _suite(self, runs: list[Outcome], both: Sequence[Edit]) -> None:
        before = await self._run(runs, "whole suite on the base", [], "")
        after = await self._run(runs, "whole suite with the patch", both, "")
        for found in (before, after):
            if found.problem:
                raise RefusedError(5, f"the {found.name}: {found.problem}")
        bad = after.having("failed") | after.having("error")
        if after.exit_code or bad:
            named = f", {min(bad)[:150]!a} among them" if bad else ""
            raise RefusedError(5, f"the whole suite is not green with the patch: {len(bad)} tests fail{named}")
        lost = before.having("passed") - after.having("passed")
        if lost or len(after.having("passed")) < len(before.having("passed")) + len(runs[0].tests):
            raise RefusedError(5, f"fewer tests than before pass: {len(lost)} are gone")

    def _covered(self, after: Outcome, answer: Answer) -> None:
        for edit in answer.patch:
            changed = changed_lines(self.checkout.text(edit.path) or "", edit.content)
            if edit.path not in after.executed:
                raise RefusedError(5, f"{edit.path} was not measured: no run shows that the change was executed")
            missed = changed & (after.statements[edit.path] - after.executed[edit.path])
            if missed:
                raise RefusedError(5, f"no test executes line {min(missed)} of {edit.path}, which the patch changes")

    async def _run(self, runs: list[Outcome], name: str, edits: Sequence[Edit], only: str) -> Outcome:
        prefix = self.settings.prefix
        chosen = [only.removeprefix(prefix)] if only else []
        testbay = ["python", "-m", "testbay", "run", self.settings.service, "--engine", "embedded", "--"]
        order = Order(
            base=self.checkout.root,
            edits=edits,
            argv=[*testbay, *_PLAIN, *chosen],
            folder=self.settings.folder,
            env={
                "PYTHONPATH": ":".join(f"/jail/checkout/{prefix}{one}" for one in self.settings.sources),
                "TESTBAY_LLM": "replay",
            },
        )
        found = outcome(name, await self.jail.run(order), prefix)
        runs.append(found)
        return found
