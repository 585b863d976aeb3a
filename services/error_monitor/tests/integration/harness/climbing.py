"""One recorded answer on the whole ladder: from log lines to the pull request or the refusal."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from error_monitor.database import Database
from error_monitor.fixes.ladder import Ladder
from error_monitor.fixes.worker import secrets
from error_monitor.patterns.queries import Queries, Wanted
from error_monitor.scanning.once import scan_once
from error_monitor.settings import Settings
from harness import seeded
from harness.git_host import GitHost
from harness.messages_api import MessagesApi, call

_EMPTY = """DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg('error_monitor.' || tablename, ', ')
    || ' RESTART IDENTITY CASCADE' FROM pg_tables WHERE schemaname = 'error_monitor' AND tablename <> 'migrations');
END $$"""


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """Where an answer ended, and what GitHub got of it."""

    bug: seeded.Bug
    kind: str
    fix: Mapping[str, Any]
    pulls: list[dict[str, Any]]
    files: Mapping[str, str]
    answer: Mapping[str, Any]
    writes: int
    seconds: float

    @property
    def faults(self) -> list[str]:
        """What is not as it was expected; an empty list is a success."""
        expected, reason = self.bug.answers[self.kind], str(self.fix["reason"])
        found = [] if self.fix["rung"] == expected.rung else [f"rung {self.fix['rung']}, not {expected.rung}: {reason}"]
        found += [] if self.fix["category"] == self.bug.category else [f"category {self.fix['category']}"]
        if self.kind == "good":
            return found + self._unproven()
        found += [] if expected.says in reason else [f"the reason is {reason!r}"]
        found += [] if self.fix["state"] == "refused" else [f"state {self.fix['state']}"]
        found += ["GitHub was written to"] if self.writes or self.pulls else []
        return found + (["a refused proof without its runs"] if expected.rung == 5 and not self.runs else [])

    @property
    def runs(self) -> list[Mapping[str, Any]]:
        """The runs that the fix keeps."""
        return list((self.fix["proof"] or {}).get("runs", ()))

    def _unproven(self) -> list[str]:
        """What a good answer's pull request lacks."""
        if len(self.pulls) != 1:
            return [f"{len(self.pulls)} pull requests: {self.fix['reason']}"]
        (pull,) = self.pulls
        meant = {one["path"]: one["content"] for one in [self.answer["test"], *self.answer["patch"]]}
        lacks = [name for name in ("new test on the base", "whole suite with the patch") if name not in pull["body"]]
        found = [f"the pull request lacks the run {name}" for name in lacks]
        found += [] if (pull["draft"], pull["labels"]) == (True, ["auto"]) else ["it is no draft with the label"]
        return found + ([] if self.files == meant else ["the branch has other files"])


async def climb(bug: seeded.Bug, kind: str, env: Mapping[str, str]) -> Climbed:
    """Scan the log, climb once with this answer, and see what there is now. The database is emptied first."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="error-monitor-climb-") as name,
        MessagesApi() as model,
        GitHost() as github,
    ):
        clone = Path(name, "clone")
        github.add_commit(seeded.clone(bug, clone))
        answer = seeded.answer(bug, kind, clone)
        model.replies = [[call("list", {})], [call("submit", answer, 2)]]
        log = bug.write_log(Path(name))
        told = {
            **env, **model.environ, **github.environ, **bug.settings, "ERROR_MONITOR_FIX_CLONE": str(clone),
            "LOG_FILES": str(log), "ERROR_MONITOR_SETTLE_S": "0", "AUTO_FIX_ENABLED": "true",
            "ERROR_MONITOR_FIX_WALL_S": str(bug.answers[kind].wall_s),
        }  # fmt: skip
        fix = await _fixed(Settings.from_env(told))
        assert model.violations == []
        files = github.files(github.pulls[0]["head"]["ref"]) if github.pulls else {}
        return Climbed(
            bug=bug, kind=kind, fix=fix, pulls=github.pulls, files=files, answer=answer, writes=len(github.writes),
            seconds=time.monotonic() - began,
        )  # fmt: skip


async def _fixed(settings: Settings) -> Mapping[str, Any]:
    database = Database(settings)
    await database.open()
    try:
        await database.execute(_EMPTY)
        await scan_once(settings, None, "")
        (pattern,), _ = await Queries(database).patterns(Wanted())
        ladder = Ladder(settings.fixes, database, secrets(settings))
        fix_id, owned = await ladder.start(pattern["fingerprint"], "scan")
        if owned is not None:
            await ladder.climb(owned)
        found = await ladder.questions.fix(fix_id)
        assert found is not None
        return found
    finally:
        await database.close()
