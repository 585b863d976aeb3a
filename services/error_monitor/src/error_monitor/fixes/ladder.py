"""The ladder: seven rungs, each of which can say no. The reason of every rung is stored and shown."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from error_monitor import logs
from error_monitor.database import AWAY, Database
from error_monitor.fixes import checkout, context, jail, pull_request, rails
from error_monitor.fixes.budget import Spending
from error_monitor.fixes.github import SETTING, GitHub
from error_monitor.fixes.model import MOST_OUT, Model
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.proof import Proving
from error_monitor.fixes.questions import FixQuestions
from error_monitor.fixes.records import LaterError, Proof, RefusedError
from error_monitor.fixes.seen import refusal
from error_monitor.fixes.store import FixLostError, FixStore, Owned, edits
from error_monitor.patterns.queries import Queries
from error_monitor.tasks import end

log = logs.get(__name__)

Choose = Callable[[FixSettings], Awaitable[jail.Jail]]
MOST_TRIES = 12
UNCOUNTED = ("budget", SETTING)
"""What a try waits for that a person has set: it says nothing against the fix."""


class Ladder:
    """Climbs for one pattern at a time, on whichever instance owns the fix."""

    def __init__(
        self,
        settings: FixSettings,
        database: Database,
        secrets: list[str],
        instance: UUID | None = None,
        *,
        choose: Choose = jail.choose,
    ) -> None:
        self.settings = settings
        self.store = FixStore(database, instance or uuid4(), lease_s=settings.lease_s)
        self.questions = FixQuestions(database)
        self._database = database
        self._queries = Queries(database)
        self._secrets = secrets
        self._choose = choose

    @property
    def repository(self) -> str:
        """The repository that fixes are for; a local clone where GitHub is not set up."""
        return self.settings.github_repository or self.settings.clone

    async def start(self, fingerprint: str, trigger: str) -> tuple[int, Owned | None]:
        """The first rung; the fix's number, and the fix itself where it goes on.

        A pattern that has a living fix gets its number, and nothing new.
        """
        pattern = await self._queries.pattern(fingerprint)
        if pattern is None:
            raise LookupError(fingerprint)
        if living := await self.questions.living(fingerprint):
            return living, None
        commit = ""
        try:
            commit = await self._commit(fingerprint)
            owned = await self._begin(pattern, commit, trigger)
        except (RefusedError, LaterError) as exc:
            rung = exc.rung if commit and isinstance(exc, RefusedError) else 1
            place = (fingerprint, self.repository, commit, trigger)
            is_dry = not self.settings.enabled
            return await self.store.note_early(*place, rung=rung, reason=str(exc), is_dry=is_dry), None
        await self.store.passed(owned, 1, f"{pattern['events']} events in {pattern['scans']} scans")
        return owned.fix_id, owned

    async def _begin(self, pattern: Mapping[str, Any], commit: str, trigger: str) -> Owned:
        fingerprint = pattern["fingerprint"]
        if reason := refusal(pattern, await self.questions.earlier(fingerprint, commit), self.settings):
            raise RefusedError(1, reason)
        is_dry = not self.settings.enabled
        owned = await self.store.begin(fingerprint, self.repository, commit, trigger, is_dry=is_dry)
        if owned is None:
            raise RefusedError(2, "another fix is being worked on: one at a time in a repository")
        return owned

    async def climb(self, owned: Owned) -> None:
        """The rungs from where the fix stands. It never raises for what is wrong with the fix."""
        holding = asyncio.create_task(self._keep(owned))
        rung = 2
        try:
            fix = await self._fix(owned)
            if not fix["proof"]:
                await self._prove(owned, fix)
                fix = await self._fix(owned)
            rung = 6
            if not fix["is_dry"]:
                await self._publish(owned, fix)
        except RefusedError as exc:
            await self._end(owned, "refused", exc.rung, exc.reason, exc.runs)
        except LaterError as exc:
            await self._later(owned, rung, str(exc))
        except FixLostError as exc:
            log.warning("fix_lost", fix=owned.fix_id, error=str(exc))
        except AWAY:
            raise  # the instance that takes it over goes on
        except Exception as exc:  # noqa: BLE001 -- taken over again and again, it would keep all other fixes waiting
            log.error("fix_failed", fix=owned.fix_id, error=logs.trace(exc))  # noqa: TRY400 -- one line, as everywhere
            await self._later(owned, rung, f"the monitor failed: {type(exc).__name__}")
        finally:
            await end(holding)

    async def resume(self) -> bool:
        """Go on with a fix that an instance has left; False where there is none."""
        owned = await self.store.take_over()
        if owned is None:
            return False
        fix = await self._fix(owned)
        if fix["proof"]:
            await self.climb(owned)
        else:
            # What the model and the jail had begun is gone: a new try begins with the first rung.
            await self._end(owned, "interrupted", fix["rung"], "the monitor ended while it worked on this fix")
        return True

    async def _prove(self, owned: Owned, fix: Mapping[str, Any]) -> None:
        """Rungs two to five."""
        if missing := self.settings.missing:
            raise RefusedError(2, f"not set: {', '.join(missing)}")
        pattern = await self._queries.pattern(owned.fingerprint)
        assert pattern is not None
        archive = await self._archive(fix["base_commit"])
        with checkout.unpacked(archive, fix["base_commit"], is_nested=not self.settings.clone) as base:
            if not context.own_frames(pattern, base, self.settings):
                raise RefusedError(1, context.elsewhere(self.settings))
            place = await self._choose(self.settings)
            answer = await self._ask(owned, pattern, base)
            if answer.confidence == "low":
                raise RefusedError(3, "the model is not sure of the cause: no code is proposed")
            await self.store.passed(owned, 3, f"confidence {answer.confidence}")
            rails.check(answer, base, self.settings, pattern["type"])
            await self.store.passed(owned, 4, f"one new test, {len(answer.patch)} changed files, within the rails")
            proving = Proving(jail=place, checkout=base, settings=self.settings)
            proof = await proving.prove(answer, pattern)
        name = pull_request.branch(owned.fingerprint)
        await self.store.proven(owned, proof, name, is_dry=bool(fix["is_dry"]))

    async def _ask(self, owned: Owned, pattern: Mapping[str, Any], base: checkout.Checkout) -> Any:
        async with contextlib.aclosing(Model(self.settings)) as model:
            spending = Spending(self._database, self.settings.budget, owned.fix_id, MOST_OUT)
            given = await model.answer(context.question(pattern, base, self.settings), base, spending)
        answer = rails.compared(given, base)
        await self.store.passed(owned, 2, "within the budget")
        await self.store.answered(owned, answer)
        return answer

    async def _publish(self, owned: Owned, fix: Mapping[str, Any]) -> None:
        """Rung six. The row is read again: what was proven is what is published."""
        if await self.questions.pulls_today() >= self.settings.budget.pulls_per_day:
            raise LaterError(f"the budget of {self.settings.budget.pulls_per_day} pull requests in a day is spent")
        test, patch = edits(dict(fix))
        assert test is not None
        texts = [pull_request.title(fix), pull_request.body(fix, self.settings)]
        pull_request.review([test, *patch], texts, self._secrets)
        async with contextlib.aclosing(GitHub(self.settings, is_dry=not self.settings.enabled)) as github:
            number, url = await pull_request.publish(
                github, fix, [test, *patch], self.settings, lambda: self.store.hold(owned)
            )
        await self.store.opened(owned, number, url)

    async def _later(self, owned: Owned, rung: int, reason: str) -> None:
        fix = await self.questions.fix(owned.fix_id)
        if rung < 6 or fix is None:
            await self._end(owned, "interrupted", 3, reason)
        elif fix["tries"] + 1 >= MOST_TRIES and not any(word in reason for word in UNCOUNTED):
            await self._end(owned, "refused", rung, f"{reason}; given up after {MOST_TRIES} tries")
        else:
            with contextlib.suppress(FixLostError):
                await self.store.later(owned, reason, self.settings.pause_s)

    async def _end(self, owned: Owned, state: str, rung: int, reason: str, runs: Proof | None = None) -> None:
        with contextlib.suppress(FixLostError):
            await self.store.ended(owned, state, rung, reason, runs)
        log.info("fix_ended", fix=owned.fix_id, state=state, rung=rung)

    async def _keep(self, owned: Owned) -> None:
        """Hold the fix while runs take minutes."""
        while True:
            await asyncio.sleep(self.settings.lease_s / 4)
            with contextlib.suppress(*AWAY):
                await self.store.hold(owned)

    async def _fix(self, owned: Owned) -> dict[str, Any]:
        found = await self.questions.fix(owned.fix_id)
        if found is None:
            raise FixLostError(f"fix {owned.fix_id} is gone")
        return found

    async def _commit(self, fingerprint: str) -> str:
        """The full id of the commit that is deployed; the base branch where no deploy was told of."""
        deployed, _ = await self.questions.newest_commit(fingerprint)
        name = deployed or self.settings.github_base
        if self.settings.clone:
            found = await checkout.resolved(self.settings.clone, name)
        elif self.settings.github_repository:
            async with contextlib.aclosing(GitHub(self.settings, is_dry=True)) as github:
                found = await github.commit_id(name)
        else:
            raise RefusedError(1, "no repository is set up: set ERROR_MONITOR_FIX_CLONE or GITHUB_REPOSITORY")
        if not found:
            raise RefusedError(1, await self._unknown(deployed))
        return found

    async def _unknown(self, deployed: str) -> str:
        """Say why a commit is not found, with the setting or the request that named it."""
        if self.settings.clone and not await checkout.is_repository(self.settings.clone):
            return f"ERROR_MONITOR_FIX_CLONE cannot be read as a git repository: {self.settings.clone}"
        if deployed:
            return f"the commit {deployed[:40]}, which POST /deploys named, is not in {self.repository}"
        return f"ERROR_MONITOR_FIX_BASE names the branch {self.settings.github_base}, which is not in {self.repository}"

    async def _archive(self, commit: str) -> bytes:
        if self.settings.clone:
            return await checkout.archived(self.settings.clone, commit)
        async with contextlib.aclosing(GitHub(self.settings, is_dry=True)) as github:
            return await github.archive(commit)
