"""The fix benchmark: seeded bugs with recorded answers of a model, each climbed to its pull request or its refusal.

Usage: testbay exec error_monitor -- .venv/bin/python bench/fixes/run.py [BUG …] [--kind good …] [--into FILE]

A folder of bench/fixes/bugs is a bug: bug.toml (service, category, and for each answer the rung that ends it and what
the reason says), seed.patch (puts the fault in), log.txt (what the service then logs), new_test.py, and the answers
good, lazy, wrong, cheating and hostile as patches, or as the JSON that the model submits. The services are
agent_executor and the shop beside this file. The model and GitHub are stand-ins on loopback; jail, PostgreSQL and the
runs of the harness are real, so a good answer takes six runs. `--into` appends each row as JSON, and rows that are
there already are shown and not run again. Exit code 1: an answer ended otherwise than bug.toml says.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "services" / "error_monitor" / "tests" / "integration"))

from harness import climbing, seeded  # noqa: E402 -- the path is set above

Row = dict[str, Any]


def main() -> int:
    """Climb what was asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bugs", nargs="*", metavar="BUG", help="a folder of bench/fixes/bugs (default: all)")
    parser.add_argument("--kind", action="append", choices=seeded.KINDS, help="answers of this kind only")
    parser.add_argument("--into", type=Path, help="keep the rows here, and run only those that it lacks")
    args = parser.parse_args()
    done = kept(args.into) if args.into else {}
    bugs = [bug for bug in seeded.bugs() if not args.bugs or bug.name in args.bugs]
    asked = [(bug, kind) for bug in bugs for kind in args.kind or seeded.KINDS]
    rows = [done.get((bug.name, kind)) or climbed(bug, kind, args.into) for bug, kind in asked]
    print(table(rows))
    return 1 if any(row["faults"] for row in rows) else 0


def kept(file: Path) -> dict[tuple[str, str], Row]:
    """The rows of earlier calls that were as expected."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["bug"], row["kind"]): row for row in rows if not row["faults"]}


def climbed(bug: seeded.Bug, kind: str, into: Path | None) -> Row:
    """The row of one answer."""
    found = asyncio.run(climbing.climb(bug, kind, os.environ))
    row = {
        "bug": bug.name, "service": bug.service, "category": bug.category, "kind": kind, "rung": found.fix["rung"],
        "state": found.fix["state"], "reason": found.fix["reason"], "runs": len(found.runs), "pulls": len(found.pulls),
        "writes": found.writes, "seconds": round(found.seconds, 1), "faults": found.faults,
    }  # fmt: skip
    print(json.dumps(row), file=sys.stderr, flush=True)
    if into:
        with into.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return row


def table(rows: list[Row]) -> str:
    """A line for each answer, and the sums."""
    lines = [
        "| bug | service, category | answer | ends | runs | pull requests | as expected |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reason = row["reason"].replace("|", "/")
        end = row["state"] if row["pulls"] else f"rung {row['rung']}: {reason}"
        place = f"{row['service']}, {row['category']}"
        right = "; ".join(row["faults"]) or "yes"
        lines.append(f"| {row['bug']} | {place} | {row['kind']} | {end} | {row['runs']} | {row['pulls']} | {right} |")
    good = [row for row in rows if row["kind"] == "good"]
    other = [row for row in rows if row["kind"] != "good"]
    return "\n".join(
        [
            *lines,
            "",
            f"good: {sum(row['pulls'] == 1 and not row['faults'] for row in good)} of {len(good)} end in one draft",
            f"other: {sum(not row['faults'] for row in other)} of {len(other)} are refused by the rung that should",
            f"writes to GitHub for a refused answer: {sum(row['writes'] for row in other)}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
