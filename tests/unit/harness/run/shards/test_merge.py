import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.conftest import Recording

from testbay.errors import ManifestError
from testbay.harness.run.shards.merge import merge
from testbay.manifest.service import Manifest
from testbay.settings import Settings

Service = Callable[..., Manifest]
JUNIT = '<testsuites><testsuite tests="1"><testcase name="a"/></testsuite></testsuites>'


def shard(place: Path, service: str, **changes: Any) -> None:
    """The only shard of a service's run, which ran one test."""
    record = {
        "id": f"run-{service}",
        "service": service,
        "started": "2026-01-01T10:00:00Z",
        "shard": {"number": 1, "of": 1, "durations": "0", "source": "/there"},
        "collected": ["a"],
        "planned": ["a"],
        "tests": [{"id": "a", "outcome": "passed"}],
        "exit_code": 0,
    }
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(record | changes), encoding="utf-8")
    (place / "junit.xml").write_text(JUNIT, encoding="utf-8")


def said(recording: type[Recording], project: Path, settings: Settings) -> tuple[int, list[str]]:
    """The exit code, and the closing lines with their mark alone."""
    heard = recording()
    code = merge([project / "artifacts"], project, settings, heard.voice)
    return code, [line for line in heard.text.splitlines() if line.startswith(("==>", "✅", "❌", "error"))]


def test_each_service_is_a_run_of_its_own(
    recording: type[Recording], project: Path, settings: Settings, service: Service
) -> None:
    """The artifacts of all services may lie in one folder; the exit code is that of the first that is red."""
    service(name="shop")
    service(name="billing")
    shard(project / "artifacts/1", "shop", exit_code=1)
    shard(project / "artifacts/2", "billing", llm="replay")

    assert said(recording, project, settings) == (
        1,
        [
            "==> Merge 1 of 1 shards of billing",
            "✅ Shards: 1 of 1, the slowest 0.0s, the mean 0.0s",
            "✅ Tests: 1 passed in 0.0s",
            "✅ LLM: replay",
            "==> Merge 1 of 1 shards of shop",
            "✅ Shards: 1 of 1, the slowest 0.0s, the mean 0.0s",
            "❌ Tests: 1 passed in 0.0s",
        ],
    )
    assert len(list((project / ".testbay/runs").iterdir())) == 2


def test_a_report_that_is_gone_is_an_error(
    recording: type[Recording], project: Path, settings: Settings, service: Service
) -> None:
    """The tests are proven to have run, but not all that a run leaves is there."""
    service(name="shop")
    shard(project / "artifacts/1", "shop")
    (project / "artifacts/1/junit.xml").unlink()

    assert said(recording, project, settings) == (
        15,
        [
            "==> Merge 1 of 1 shards of shop",
            f"error: {project}/artifacts/1/junit.xml cannot be used",
            "❌ Shards: 1 of 1, the slowest 0.0s, the mean 0.0s",
            "❌ Tests: 1 passed in 0.0s",
        ],
    )


@pytest.mark.parametrize(
    ("left", "why"),
    [
        pytest.param(
            {
                "exit_code": 2,
                "tests": [{"id": "t.py", "when": "collect", "outcome": "failed", "error": "ImportError: x"}],
            },
            "t.py: ImportError: x",
            id="not-importable",
        ),
        pytest.param({"exit_code": 12, "error": {"what": "nats ended"}, "tests": []}, "nats ended", id="no-stack"),
        pytest.param({"exit_code": 1, "tests": []}, "out of memory, a timeout of the job, or -x", id="unknown"),
    ],
)
def test_a_shard_that_ran_nothing_says_why(
    recording: type[Recording], project: Path, settings: Settings, service: Service, *, left: dict[str, Any], why: str
) -> None:
    """As far as its record tells."""
    service(name="shop")
    shard(project / "artifacts/1", "shop", planned=[], **left)
    heard = recording()

    assert merge([project / "artifacts"], project, settings, heard.voice) == 15
    assert [line.strip() for line in heard.text.splitlines() if line.startswith(("error", "  why"))] == [
        f"error: shard 1/1 ended with exit code {left['exit_code']}: its tests are not known",
        f"why:      {why}",
    ]


def test_a_failed_test_is_never_green(
    recording: type[Recording], project: Path, settings: Settings, service: Service
) -> None:
    """Whatever exit code the shard's record claims."""
    service(name="shop")
    shard(project / "artifacts/1", "shop", tests=[{"id": "a", "outcome": "failed", "error": "E"}])

    code, lines = said(recording, project, settings)

    assert (code, lines[-1]) == (1, "❌ Tests: 1 failed in 0.0s")


def test_shards_that_only_skipped_are_not_green_together(
    recording: type[Recording], project: Path, settings: Settings, service: Service
) -> None:
    """Each alone may have only such tests; all of them together tested nothing."""
    service(name="shop")
    counts = {"skipped": 1, "deselected": 2}
    tests = [{"id": "a", "outcome": "skipped", "reason": "no GPU"}]
    shard(project / "artifacts/1", "shop", tests=tests, counts=counts)
    heard = recording()

    assert merge([project / "artifacts"], project, settings, heard.voice) == 15
    assert "error: no test ran: the only one was skipped" in heard.text
    assert "❌ Tests: 1 skipped, 2 deselected in 0.0s" in heard.text


def test_times_are_those_of_the_shards(
    recording: type[Recording], project: Path, settings: Settings, service: Service
) -> None:
    """From the start of the first shard to the end of the last; of each dependency the slowest start."""
    service(name="shop")
    for number, start in ((1, 1.0), (2, 3.0)):
        changes: dict[str, Any] = {
            "shard": {"number": number, "of": 2, "durations": "0", "source": "/there"},
            "collected": ["1", "2"],
        }
        changes |= {"planned": [str(number)], "tests": [{"id": str(number), "outcome": "passed"}]}
        startup = [{"name": "nats", "start_s": 0.5, "duration_s": start}]
        began = f"2026-01-01T10:00:0{number}Z"
        shard(project / f"artifacts/{number}", "shop", started=began, duration_s=10.0, startup=startup, **changes)

    assert merge([project / "artifacts"], project, settings, recording().voice) == 0
    (folder,) = (project / ".testbay/runs").iterdir()
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert (record["started"], record["finished"], record["duration_s"], record["startup"]) == (
        "2026-01-01T10:00:01+00:00",
        "2026-01-01T10:00:12+00:00",
        11.0,
        [{"name": "nats", "start_s": 1.5, "duration_s": 3.0}],
    )
    assert " · 11.0 s · " in (folder / "summary.md").read_text(encoding="utf-8")


def test_shards_of_a_service_that_is_not_here(recording: type[Recording], project: Path, settings: Settings) -> None:
    """Coverage needs the sources, so the job that merges has the same checkout."""
    shard(project / "artifacts/1", "shop")

    with pytest.raises(ManifestError, match="has no manifest"):
        merge([project / "artifacts"], project, settings, recording().voice)
