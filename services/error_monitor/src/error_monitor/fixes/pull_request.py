"""One draft pull request for one pattern, whoever opens it and however often it is tried."""

import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from typing import Any

from error_monitor.fixes.github import BRANCHES, ExistsError, GitHub
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import Edit, LaterError, RefusedError
from error_monitor.redaction import redact

LABEL = "auto"
BODY_CHARS = 60_000
MARK = "Error-Pattern: "
_LIMITS = """- The test reproduces this pattern; other causes of the same symptom stay.
- The cause above is a model's opinion. The runs are not.
- It is a draft: a person decides."""
_FINGERPRINT = re.compile(r"v\d{1,4}:[0-9a-f]{8,64}")
Hold = Callable[[], Awaitable[None]]


def branch(fingerprint: str) -> str:
    """The branch of a pattern: always the same one.

    Raises:
        RefusedError: It is not a fingerprint of ours.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise RefusedError(6, "the pattern has no fingerprint that could name a branch")
    return BRANCHES + fingerprint.replace(":", "-")


def title(fix: Mapping[str, Any]) -> str:
    """The title, of words that cannot be anything but words: it is the commit's, too, where `closes GH-1` would act."""
    file, _, function = fix["frame"].rpartition(" in ")
    words = [re.sub(r"[^\w.]", "", one)[:60] for one in (fix["type"], re.split(r"[/\\]", file)[-1], function)]
    kind, place = words[0] or "the error", " in ".join(one for one in words[1:] if one)
    return f"Fix {kind}" + (f" in {place}" if place else "")


def body(fix: Mapping[str, Any], settings: FixSettings) -> str:
    """Cause, evidence, runs, limits and undo. Every text from outside stands in a block of code: it links nothing."""
    proof = fix["proof"]
    runs = [
        f"| {run['name']} | {_counts(run['tests'])} | {run['exit_code']} | {run['seconds']} s |"
        for run in proof["runs"]
    ]
    red = proof["runs"][0]
    parts = [
        f"Pattern `{fix['fingerprint']}`, fix {fix['fix_id']}, at commit `{fix['base_commit']}`.",
        "## Cause, as a model explains it",
        _block(fix["cause"]),
        "## Evidence",
        _block(f"{fix['type']}: {fix['message']}\n{fix['frame']}"),
        "## Proof",
        f"The harness ran these in a jail ({proof['jail']}) without network and credentials; the model ran nothing.",
        "\n".join(["| run | tests | exit code | time |", "|---|---|---|---|", *runs]),
        f"The new test fails on the base with the pattern's own fingerprint: `{fix['fingerprint']}`.",
        "The end of the run on the base:",
        _block("\n".join(red["tail"].replace(settings.python or sys.executable, "python").splitlines()[-30:])),
        "## Limits",
        _LIMITS,
        "## Undo",
        f"Close this pull request, or after the merge: `git revert <merge commit>`. The branch is `{fix['branch']}`.",
    ]
    if settings.public_url:
        parts.insert(7, f"Reports of these runs: {settings.public_url}/error-monitor/fixes/{fix['fix_id']}")
    return "\n\n".join(parts)[:BODY_CHARS]


def _counts(tests: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(tests.items()) if name.isalpha()) or "none"


def _block(text: str) -> str:
    """A block of code that the text cannot end."""
    plain = "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in redact(text))
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{plain}\n{fence}"


def review(edits: list[Edit], texts: list[str], secrets: list[str]) -> None:
    """The last look for secrets, over all that would leave.

    Raises:
        RefusedError: Something looks like one, or is one of the monitor's own.
    """
    said = [*texts, *(edit.path for edit in edits)]
    looks_like_one = any(redact(text) != text for text in [*said, *(edit.fresh for edit in edits)])
    leaving = [*said, *(edit.content for edit in edits)]
    if looks_like_one or any(len(secret) >= 8 and secret in text for secret in secrets for text in leaving):
        raise RefusedError(6, "what would be published contains what looks like a secret")


async def publish(
    github: GitHub, fix: Mapping[str, Any], edits: list[Edit], settings: FixSettings, hold: Hold
) -> tuple[int, str]:
    """Make branch and pull request, or find those that an interrupted try has made; number and address.

    `hold` proves before every write that the fix is still ours.

    Raises:
        RefusedError: It cannot be.
        LaterError: GitHub is away or busy.
    """
    found = await _open(github, fix["branch"])
    if found is None:
        await _branch(github, fix, edits, hold)
        found = await _pull(github, fix, settings, hold)
    number, url = found
    await hold()
    await github.write("POST", f"/issues/{number}/labels", {"labels": [LABEL]})
    return number, url


async def _open(github: GitHub, name: str) -> tuple[int, str] | None:
    for one in await github.pulls(name):
        if one.get("state") == "open" and isinstance(one.get("number"), int):
            return one["number"], str(one.get("html_url", ""))
    return None


async def _branch(github: GitHub, fix: Mapping[str, Any], edits: list[Edit], hold: Hold) -> None:
    """The branch with one commit. The same fix makes the same commit: a second try changes nothing."""
    base = await github.commit(fix["base_commit"])
    tree = {"base_tree": base["tree"]["sha"], "tree": []}
    for edit in edits:
        await hold()
        blob = await github.write("POST", "/git/blobs", {"content": edit.content, "encoding": "utf-8"})
        tree["tree"].append({"path": edit.path, "mode": "100644", "type": "blob", "sha": blob["sha"]})
    await hold()
    made = await github.write("POST", "/git/trees", tree)
    when = fix["created_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    who = {"name": "error-monitor", "email": "error-monitor@users.noreply.github.com", "date": when}
    message = f"{title(fix)}\n\n{MARK}{fix['fingerprint']}\n"
    commit = {"message": message, "tree": made["sha"], "parents": [fix["base_commit"]], "author": who, "committer": who}
    await hold()
    sha = (await github.write("POST", "/git/commits", commit))["sha"]
    head = await github.branch_head(fix["branch"])
    if head == sha:
        return
    await hold()
    if head is None:
        try:
            await github.write("POST", "/git/refs", {"ref": f"refs/heads/{fix['branch']}", "sha": sha})
        except ExistsError as exc:
            raise LaterError("the branch was made at the same moment") from exc
        return
    if f"{MARK}{fix['fingerprint']}" not in str((await github.commit(head)).get("message", "")):
        raise RefusedError(6, f"the branch {fix['branch']} has commits of somebody else")
    await github.write("PATCH", f"/git/refs/heads/{fix['branch']}", {"sha": sha, "force": True})


async def _pull(github: GitHub, fix: Mapping[str, Any], settings: FixSettings, hold: Hold) -> tuple[int, str]:
    await hold()
    content = {
        "title": title(fix),
        "head": fix["branch"],
        "base": settings.github_base,
        "body": redact(body(fix, settings)),
        "draft": True,
        "maintainer_can_modify": True,
    }
    try:
        made = await github.write("POST", "/pulls", content)
    except ExistsError as exc:
        found = await _open(github, fix["branch"])
        if found is None:
            raise LaterError("GitHub says that the pull request exists, and does not list it") from exc
        return found
    return int(made["number"]), str(made.get("html_url", ""))
