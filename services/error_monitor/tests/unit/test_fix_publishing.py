"""One pull request for a pattern, whatever GitHub answers, wherever a try breaks off, and however many try at once."""

import asyncio
import io
import os
import random
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import shop
from harness.git_host import GitHost

from error_monitor.fixes import checkout, pull_request
from error_monitor.fixes.github import DryRunError, GitHub
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import Edit, LaterError, RefusedError
from error_monitor.settings import Settings

ROUNDS = int(os.environ.get("FIX_ROUNDS", "2"))  # .ci/run takes more, a measurement 300
SHA = "a" * 40
RUN = {"name": "new test on the base", "exit_code": 1, "seconds": 1.0, "tests": {"failed": 1}, "tail": "```\n@acme"}
FIX = {
    "fix_id": 1, "fingerprint": "v1:25a59d5219540c6bdb3310a7", "base_commit": SHA, "type": "KeyError",
    "frame": "a.py:f",
    "branch": "error-monitor/v1-25a59d5219540c6bdb3310a7", "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "cause": "``` <img src=x> @everyone fixes #1 [a](http://x.invalid)", "message": "'count'",
    "proof": {"jail": "bubblewrap", "runs": [RUN]},
}  # fmt: skip
EDITS = [Edit(path="src/a.py", content="x = 1\n"), Edit(path="tests/test_a.py", content="y = 1\n")]


@pytest.fixture
def github() -> Iterator[GitHost]:
    with GitHost() as server:
        server.add_commit(SHA)
        yield server


def settings(github: GitHost) -> FixSettings:
    return Settings.from_env({**github.environ, "ERROR_MONITOR_FIX_SERVICE": "shop"}).fixes


async def hold() -> None:
    """The fix is ours."""


async def publish(github: GitHost, *, is_dry: bool = False) -> Any:
    """One try; the error where it breaks off."""
    client = GitHub(settings(github), is_dry=is_dry)
    try:
        return await pull_request.publish(client, FIX, EDITS, settings(github), hold)
    except (LaterError, RefusedError, DryRunError) as exc:
        return exc
    finally:
        await client.aclose()


async def patiently(github: GitHost) -> Any:
    """Try until it is there, as the worker does after its pauses."""
    found: Any = None
    for _ in range(60):
        found = await publish(github)
        if isinstance(found, tuple):
            break
    return found


def sometimes(chance: random.Random, _: object) -> tuple[int, bool] | None:
    """A fault at every seventh call: its status, and whether GitHub did what it was asked for all the same."""
    return (chance.choice((409, 502, 429)), chance.random() < 0.5) if chance.random() < 0.15 else None


@pytest.mark.timeout(0)  # as many rounds as were asked for
def test_interleavings_end_in_one_pull_request(github: GitHost) -> None:
    """Two instances at once, an answer lost or refused at any call: one open pull request, and nothing else written."""
    for seed in range(ROUNDS):
        chance = random.Random(seed)  # noqa: S311 -- chance that picks a fault is no cryptography
        github.refs, github.pulls, github.most_open = {"heads/main": SHA}, [], 0
        github.fault = partial(sometimes, chance)

        async def both() -> None:
            await asyncio.gather(patiently(github), patiently(github))

        asyncio.run(both())
        assert (github.most_open, len(github.pulls), sorted(github.refs)) == (
            1,
            1,
            [f"heads/{FIX['branch']}", "heads/main"],
        ), seed


def test_a_dry_run_writes_nothing(github: GitHost) -> None:
    """The client itself ends a dry run."""
    found = asyncio.run(publish(github, is_dry=True))

    assert (type(found), github.writes) == (DryRunError, [])


@pytest.mark.parametrize("status", [404, 422])
def test_a_refusal_of_github_is_the_reason(github: GitHost, status: int) -> None:
    """What will not pass by itself is not tried again."""
    github.fault = lambda call: (status, False) if call == "POST /git/blobs" else None

    found = asyncio.run(publish(github))

    assert (type(found), str(found)) == (RefusedError, f"GitHub answered {status} to POST /git/blobs")


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_named_and_says_nothing_against_the_fix(github: GitHost, status: int) -> None:
    """With the token right, the same fix is published."""
    github.fault = lambda call: (status, False) if call == "POST /git/blobs" else None

    found = asyncio.run(publish(github))

    assert (type(found), str(found)) == (
        LaterError,
        f"GitHub answered {status} to POST /git/blobs: GITHUB_TOKEN is not valid, or has not the rights that it needs",
    )


@pytest.mark.parametrize("python", ["", "/srv/venvs/shop/bin/python"])
def test_a_body_shows_no_path_of_the_interpreter(github: GitHost, python: str) -> None:
    """Where it stands is the business of the monitor's machine."""
    run = {**RUN, "tail": f"{python or sys.executable} -m pytest\n1 failed"}
    said = pull_request.body(
        {**FIX, "proof": {"jail": "bubblewrap", "runs": [run]}}, replace(settings(github), python=python)
    )

    assert "```text\npython -m pytest\n1 failed\n```" in said


def test_foreign_text_stays_in_blocks_of_code(github: GitHost) -> None:
    """A cause or a log line is no markup: it stands in a fence that it cannot end."""
    asyncio.run(publish(github))
    body = github.pulls[0]["body"]

    assert "````text\n``` <img src=x> @everyone fixes #1 [a](http://x.invalid)\n````" in body


def test_commits_of_a_person_are_never_replaced(github: GitHost) -> None:
    """A branch of that name whose commit is not ours stays as it is."""
    github.refs[f"heads/{FIX['branch']}"] = SHA

    found = asyncio.run(publish(github))

    assert (type(found), github.refs[f"heads/{FIX['branch']}"], github.pulls) == (RefusedError, SHA, [])


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PATCH", "/git/refs/heads/main", {"sha": SHA, "force": True}),
        ("POST", "/git/refs", {"ref": "refs/heads/main", "sha": SHA}),
        ("DELETE", "/git/refs/heads/main", {}),
        ("PUT", "/pulls/1/merge", {}),
        ("PATCH", "/git/refs/heads/error-monitor/../main", {"sha": SHA}),
    ],
)
def test_only_a_branch_of_its_own_is_written(github: GitHost, method: str, path: str, content: dict[str, Any]) -> None:
    """Below the ladder the client knows five writes, and no branch but a fix's."""

    async def write() -> None:
        client = GitHub(settings(github), is_dry=False)
        try:
            await client.write(method, path, content)
        finally:
            await client.aclose()

    with pytest.raises(RefusedError):
        asyncio.run(write())

    assert github.writes == []


def test_the_archive_of_github_is_a_checkout(github: GitHost, tmp_path: Path) -> None:
    """GitHub nests the files in a folder of its own naming; their paths are those of the repository."""
    sha = shop.clone(tmp_path / "clone")
    archive = asyncio.run(checkout.archived(str(tmp_path / "clone"), sha))
    nested = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as plain,
        tarfile.open(fileobj=nested, mode="w:gz", pax_headers={"comment": sha}) as tar,
    ):
        for member in plain:
            tar.addfile(member.replace(name=f"acme-shop-{sha[:7]}/{member.name}"), plain.extractfile(member))
    github.archives[sha] = nested.getvalue()

    async def fetch() -> bytes:
        client = GitHub(settings(github), is_dry=True)
        try:
            return await client.archive(sha)
        finally:
            await client.aclose()

    with checkout.unpacked(asyncio.run(fetch()), sha, is_nested=True) as found:
        assert (found.text("src/shop/orders.py"), len(found.files)) == (shop.ORDERS, 5)


@pytest.mark.parametrize(("frame", "title"), [
    ("/srv/shop/src/shop/orders.py in total", "Fix KeyError in orders.py in total"),
    (r"C:\shop\orders.py in <lambda>", "Fix KeyError in orders.py in lambda"),
    ("/srv/x closes GH-1/a closes GH-2 @acme.py in f #3", "Fix KeyError in aclosesGH2acme.py in f3"),
    ("", "Fix KeyError"),
])  # fmt: skip
def test_a_title_names_file_and_function(frame: str, title: str) -> None:
    """Its words stay words: a file's name of a log closes and mentions nothing."""
    assert pull_request.title({**FIX, "frame": frame}) == title
