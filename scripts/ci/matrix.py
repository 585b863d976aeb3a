"""The jobs of a workflow's matrix, as JSON: each service, once for each shard that its manifest asks for.

It needs nothing but Python: the job that asks tier 2 for it (`--list --json`) makes no .venv. In GitHub Actions the
answer is the step's output `matrix`, too.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from plan import Refused, say

# A change in services/NAME/ concerns NAME, one here concerns no service, and any other concerns every service.
CONCERNS_NONE = ("bench/", "docs/", "tests/", ".ci/")
MOST_SHARDS = 256  # jobs that one matrix may have


def jobs(since: str, names: list[str]) -> list[dict[str, Any]]:
    """A job for each shard of the services that changed since that commit; where it is empty, of all."""
    chosen = sorted(set(names) & concerned(since, set(names)) if since else names)
    return [entry for name in chosen for entry in entries_of(name)]


def announce(entries: list[dict[str, Any]]) -> None:
    """To whoever reads, and in GitHub Actions to the jobs that come after."""
    answer = json.dumps(entries, separators=(",", ":"))
    say(answer)
    if output := os.environ.get("GITHUB_OUTPUT"):
        try:
            with Path(output).open("a", encoding="utf-8") as file:
                file.write(f"matrix={answer}\n")
        except OSError as error:
            what, why = "the jobs cannot be handed on", f"GITHUB_OUTPUT={output}: {error.strerror}"
            raise Refused(1, what, why=why, todo="let it name a file; outside GitHub Actions unset it") from error


def concerned(since: str, names: set[str]) -> set[str]:
    """Those whose files, or files that all share, are not as they were at that commit."""
    commit = (git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}") or "").strip()
    if not commit:
        # A branch's first push names no commit before it, a forced one may name a commit that is gone.
        print(f"matrix: {since} is not a commit here, so all services are listed", file=sys.stderr)
        return names
    changed = git("diff", "--name-only", "--no-renames", "-z", commit, "HEAD")
    if changed is None:  # else nothing would seem to have changed, nothing be tested, and that be green
        print(f"matrix: HEAD cannot be compared with {since}, so all services are listed", file=sys.stderr)
        return names
    found: set[str] = set()
    for file in filter(None, changed.split("\0")):
        folder, _, rest = file.partition("/")
        name = rest.partition("/")[0]
        if folder == "services" and name in names:
            found.add(name)
        elif not file.startswith(CONCERNS_NONE) and (folder == "services" or not file.endswith(".md")):
            return names
    return found


def git(*arguments: str) -> str | None:
    """What git says; None where it fails."""
    done = subprocess.run(["git", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def entries_of(name: str) -> list[dict[str, Any]]:
    """One for each shard, counted from 1."""
    shards = manifest(Path("services") / name).get("shards", 1)
    if not isinstance(shards, int) or isinstance(shards, bool) or not 1 <= shards <= MOST_SHARDS:
        what, todo = (
            f"services/{name}: shards = {shards!r} is no number of shards",
            f"write one from 1 to {MOST_SHARDS}",
        )
        raise Refused(10, what, todo=todo)
    return [{"service": name, "shard": shard, "shards": shards} for shard in range(1, shards + 1)]


def manifest(folder: Path) -> dict[str, Any]:
    """testbay.toml, else [tool.testbay] in pyproject.toml; tier 2 has seen that one of them is there."""
    file = folder / "testbay.toml"
    try:
        if file.is_file():
            return tomllib.loads(file.read_text(encoding="utf-8"))
        file = folder / "pyproject.toml"
        return dict(tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["testbay"])
    except (ValueError, KeyError, TypeError) as error:
        what, todo = f"{file} holds no manifest: {error}", "fix it (docs/reference/manifest.md)"
        raise Refused(10, what, todo=todo) from error
