"""The seventh rung: what became of a pull request, and whether the pattern stopped in the build that has it."""

from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

from error_monitor.fixes.github import GitHub
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.questions import FixQuestions
from error_monitor.fixes.records import LaterError, RefusedError
from error_monitor.fixes.store import FixStore


async def follow(settings: FixSettings, store: FixStore, questions: FixQuestions) -> None:
    """Look at every pull request that is not judged yet."""
    rows = await questions.followed()
    if not rows or not settings.github_repository:
        return
    async with aclosing(GitHub(settings, is_dry=True)) as github:  # it only looks
        for row in rows:
            with suppress(LaterError, RefusedError):  # it is looked at again after the next scan
                if row["state"] == "opened":
                    await _pulled(github, row, store)
                elif row["state"] == "stopped":
                    await _stopped(github, row, store, questions)
                else:
                    await _merged(github, row, settings, store, questions)


async def _pulled(github: GitHub, row: Any, store: FixStore) -> None:
    pull = await github.pull(row["pull_number"])
    if pull.get("merged"):
        commit = str(pull.get("merge_commit_sha") or "")
        await store.judged(row["fix_id"], "opened", "merged", f"merged as {commit[:12]}", commit)
    elif pull.get("state") == "closed":
        await store.judged(row["fix_id"], "opened", "closed", "a person closed the pull request")


async def _stopped(github: GitHub, row: Any, store: FixStore, questions: FixQuestions) -> None:
    """Take the judgement back where the build that runs has the fix, and the pattern is seen again."""
    events = await questions.events_since(row["fingerprint"], row["updated_at"])
    deployed, _ = await questions.newest_commit(row["fingerprint"])
    if events and deployed and await github.contains(deployed, row["merge_commit"]):
        reason = f"seen {events} times since it had stopped, in build {deployed[:12]}, which has the fix"
        await store.judged(row["fix_id"], "stopped", "returned", reason)


async def _merged(github: GitHub, row: Any, settings: FixSettings, store: FixStore, questions: FixQuestions) -> None:
    since = row["merged_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for message in await github.commits_since(settings.github_base, since):
        if f"This reverts commit {row['merge_commit']}" in message:
            await store.judged(row["fix_id"], "merged", "reverted", "a person reverted the merge")
            return
    for deploy in await questions.deploys_since(row["fix_id"]):
        if not await github.contains(deploy["commit"], row["merge_commit"]):
            continue
        events = await questions.events_since(row["fingerprint"], deploy["deployed_at"])
        build = deploy["commit"][:12]
        if events:
            reason = f"seen {events} times in build {build}, which has the fix"
            await store.judged(row["fix_id"], "merged", "returned", reason)
        elif (datetime.now(UTC) - deploy["deployed_at"]).total_seconds() >= settings.quiet_after_s:
            await store.judged(row["fix_id"], "merged", "stopped", f"not seen since build {build}, which has the fix")
        return
