"""A run's record as `testbay run` writes it, to be changed as a test needs it."""

import json
from pathlib import Path
from typing import Any

STARTED = "2026-11-21T14:31:05.250000+00:00"
STARTED_S = 1795271465.25
LOG = "14:31:07 INFO job 7 taken\n14:31:07 ERROR nats: connection refused\n"
TRACE = "tests/integration/test_jobs.py:41: in test_job\n    assert job.state == 'done'\nE   AssertionError: 'lost'\n"


def attempt(nodeid: str, outcome: str = "passed", **more: Any) -> dict[str, Any]:
    fact = {"id": nodeid, "when": "call", "outcome": outcome, "start": STARTED_S + 1.5, "duration_s": 0.2, "attempt": 1}
    return fact | {"setup_s": 0.05, "teardown_s": 0.01, "worker": "gw0"} | more


def failed(nodeid: str, **more: Any) -> dict[str, Any]:
    """A failing attempt with everything that can explain it."""
    why = {"error": "AssertionError: 'lost'", "location": ["tests/integration/test_jobs.py", 41], "trace": TRACE}
    evidence = {"sections": [["service log", LOG]], "kept": "kept/jobs"}
    return attempt(nodeid, "failed", **(why | evidence | more))


def record(*tests: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Of a run with these tests; red when one of them failed."""
    servers = [("postgres", "PostgreSQL", "18.6", ""), ("dragonfly", "Dragonfly", "6.2.14", "redis 6.2 stand-in")]
    servers.append(("nats", "NATS", "2.15.1", ""))
    keys = ("name", "title", "version", "note")
    return {
        "id": "20261121-143105-shop-5b1c",
        "service": "shop",
        "started": STARTED,
        "duration_s": 9.5,
        "engine": "embedded",
        "engine_reason": "Docker does not answer",
        "llm": "replay",
        "dependencies": [dict(zip(keys, server, strict=True)) | {"port": 15433} for server in servers],
        "migrations": ["0001_items.sql", "0002_stock.sql"],
        "startup": [{"name": s[0], "start_s": 0.1, "duration_s": 0.2 + n / 10} for n, s in enumerate(servers)],
        "startup_budget_s": 0.6,
        "steps": [
            {"name": "Start postgres, dragonfly, nats", "start_s": 0.1, "duration_s": 0.6, "outcome": "ok"},
            {"name": "Run the tests", "start_s": 0.7, "duration_s": 8.5, "outcome": "ok"},
        ],
        "planned": [test["id"] for test in tests],
        "tests": list(tests),
        "coverage_percent": 84.6,
        "exit_code": 1 if any(test["outcome"] == "failed" for test in tests) else 0,
        "error": None,
    } | more


def write(folder: Path, content: dict[str, Any], covered: dict[str, list[int]] | None = None) -> Path:
    """A run's folder; `covered` are files of 100 statements, each with the lines that did not run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    files = {
        name: {
            "summary": {"num_statements": 100, "missing_lines": len(lines), "percent_covered": 100 - len(lines)},
            "missing_lines": lines,
        }
        for name, lines in (covered or {}).items()
    }
    if files:
        (folder / "coverage.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    return folder
