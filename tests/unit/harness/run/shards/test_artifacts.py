"""Run folders from elsewhere are hostile input: bounded, checked, never followed."""

import json
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import ManifestError, TestsDidNotRunError
from testbay.harness.run.shards import artifacts

RECORD: dict[str, Any] = {
    "id": "20260101-100000-shop-aaaa",
    "service": "shop",
    "started": "2026-01-01T10:00:00+00:00",
    "shard": {"number": 2, "of": 4, "durations": "0", "source": "/there/src"},
    "collected": ["a", "b[ü\u00a0雪]"],
    "planned": ["a"],
    "tests": [{"id": "a", "outcome": "passed", "duration_s": 1.5, "weather": ["mild"]}],
    "steps": [{"name": "Run the tests", "start_s": 1.0, "duration_s": 2.5, "outcome": "ok"}],
    "exit_code": 0,
}


def folder(place: Path, **changes: Any) -> Path:
    """A shard's folder."""
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(RECORD | changes), encoding="utf-8")
    return place


@pytest.mark.parametrize("below", [".", "run", "artifact/run", "unpacked/artifact/run"])
def test_runs_are_found_as_artifacts_are_unpacked(tmp_path: Path, below: str) -> None:
    """The folder itself, or up to three levels below it."""
    place = folder(tmp_path / "all" / below)

    (found,) = artifacts.find([tmp_path / "all"])

    assert (found.folder, found.name, found.run.planned) == (place, "2/4", ["a"])
    assert (found.seconds("Run the tests"), found.seconds("Tear down")) == (2.5, 0)


def test_facts_of_a_newer_testbay_are_carried_along(tmp_path: Path) -> None:
    """What this one does not know, it does not lose."""
    (found,) = artifacts.find([folder(tmp_path / "run")])

    assert [fact.model_dump(exclude_unset=True) for fact in found.run.attempts] == RECORD["tests"]


def test_shards_come_in_order(tmp_path: Path) -> None:
    """By service, then by number: 10 after 2."""
    for service, number in (("shop", 10), ("shop", 2), ("a", 3)):
        folder(tmp_path / f"{service}{number}", service=service, shard=RECORD["shard"] | {"number": number, "of": 10})

    assert [(one.run.service, one.name) for one in artifacts.find([tmp_path])] == [
        ("a", "3/10"),
        ("shop", "2/10"),
        ("shop", "10/10"),
    ]


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """Neither a linked folder nor a linked record is read."""
    folder(tmp_path / "elsewhere/run")
    (tmp_path / "here/run").mkdir(parents=True)
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match=r"^no run in "):
        artifacts.find([tmp_path / "here"])

    (tmp_path / "here/run/run.json").symlink_to(tmp_path / "elsewhere/run/run.json")
    with pytest.raises(TestsDidNotRunError, match=r"run\.json cannot be used\n  why:      Too many levels of symbolic"):
        artifacts.find([tmp_path / "here"])


def test_a_folder_with_an_odd_name_is_refused(tmp_path: Path) -> None:
    """Names come out of an archive, and stand in messages."""
    with pytest.raises(TestsDidNotRunError) as refused:
        artifacts.find([folder(tmp_path / "a\n::warning::b")])

    assert refused.value.what == f"{tmp_path}/a\\n::warning::b/run.json cannot be used"


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """With the place where a run's record should be; also one that is not there, or lies too deep."""
    folder(tmp_path / "1/2/3/4")

    with pytest.raises(ManifestError) as refused:
        artifacts.find([tmp_path, tmp_path / "none"])

    assert str(refused.value).splitlines() == [
        f"no run in {tmp_path}, {tmp_path / 'none'}",
        "  why:      a run's folder has a run.json, here or three levels below; upload-artifact drops hidden files",
        "  do:       name the folders of the shards' runs, or the one that their artifacts were unpacked in",
    ]


def test_a_whole_run_is_no_shard(tmp_path: Path) -> None:
    """It would be merged with parts of itself."""
    with pytest.raises(ManifestError, match=r"whole is not the run of a shard\n.*--shard 1/1\n"):
        artifacts.find([folder(tmp_path / "whole", shard=None)])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"planned": ["a\n::error::b"]}, "planned.0: Value error, a line with control", id="line"),
        pytest.param({"planned": [" ::add-mask::a"]}, "planned.0: Value error, a line with control", id="command"),
        pytest.param({"id": "\x1b[2J"}, "id: Value error, a line with control", id="escape"),
        pytest.param({"tests": [{"id": ["a"]}]}, "tests.0.id: Input should be a valid string", id="type"),
        pytest.param({"tests": {}}, "tests: Input should be a valid list", id="shape"),
        pytest.param({"started": "today"}, "started: Input should be a valid datetime", id="time"),
        pytest.param({"started": None}, "it does not say of which service it is, or when it started", id="when"),
        pytest.param({"format": 2}, "it has format '2', and this testbay reads up to 1: a newer one", id="newer"),
        pytest.param({"exit_code": "0"}, "exit_code: Input should be a valid integer", id="code"),
        pytest.param({"exit_code": 256}, "exit_code: 256 is not an exit code", id="large"),
        pytest.param({"shard": {"number": 1}}, "shard.of: Field required", id="shard"),
        pytest.param({"dependencies": [{"name": {}}]}, "dependencies.0.name: Input should be a valid", id="nested"),
        pytest.param({"steps": [{"name": "a", "start_s": float("nan"), "duration_s": 1}]}, "steps.0.start_s", id="nan"),
    ],
)
def test_a_damaged_record_proves_nothing(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """The file and the field are named; the exit code is that of tests that did not run."""
    with pytest.raises(TestsDidNotRunError) as refused:
        artifacts.find([folder(tmp_path / "run", **change)])

    assert refused.value.what == f"{tmp_path / 'run/run.json'} cannot be used"
    assert refused.value.why.startswith(why)


@pytest.mark.parametrize("content", [b"", b"null", b"\xff", b'{"a":' + b"[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    """Cut off, of another kind, of another encoding, nested to exhaust memory."""
    (tmp_path / "run.json").write_bytes(content)

    with pytest.raises(TestsDidNotRunError, match=r"run\.json cannot be used"):
        artifacts.find([tmp_path])


def test_what_tests_said_can_be_shown(tmp_path: Path) -> None:
    """An error stays one line, as a second one could be a command; what is longer has nothing a terminal obeys."""
    facts = {"error": "x\r\n::error::y" + "z" * 1000, "trace": "a\r\nb\x1b[2J", "sections": [["log\n", "\x07"]]}

    (found,) = artifacts.find([folder(tmp_path / "run", tests=[{"id": "a", "outcome": "failed"} | facts])])

    (fact,) = found.run.attempts
    assert (fact.error, fact.trace, fact.sections) == (
        ("x\\r\\n::error::y" + "z" * 1000)[:499] + "…",
        "a\nb\\x1b[2J",
        [("log\\n", "\\x07")],
    )
