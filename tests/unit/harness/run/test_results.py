import json
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import TestsDidNotRunError
from testbay.harness.run import results, verdict
from testbay.harness.run.recordparts import Attempt, Outcome
from testbay.harness.run.results import Results


def attempt(nodeid: str, outcome: Outcome = "passed", **more: Any) -> Attempt:
    return Attempt(id=nodeid, outcome=outcome, **more)


def phase(nodeid: str, when: str, outcome: str = "passed", **more: Any) -> dict[str, Any]:
    return {"id": nodeid, "when": when, "outcome": outcome, "duration_s": 0.1, "start": 5.0, **more}


def ended(nodeid: str, outcome: Outcome = "passed", **more: Any) -> Attempt:
    return attempt(nodeid, outcome, start=5.0, duration_s=0.1, when="call", **more)


def run_dir(folder: Path, *facts: Any, coverage: object = None) -> Path:
    (folder / "tests.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in facts), encoding="utf-8")
    if coverage is not None:
        (folder / "coverage.json").write_text(json.dumps(coverage), encoding="utf-8")
    return folder


def test_a_finished_run_is_read(tmp_path: Path) -> None:
    """What was planned, what ran, how much was covered."""
    facts = [{"planned": ["a"]}, {"planned": ["b"]}, phase("a", "call"), phase("b", "call", "failed", error="E")]
    folder = run_dir(tmp_path, *facts, coverage={"totals": {"percent_covered": 84.96}})

    attempts = [ended("a"), ended("b", "failed", error="E")]
    assert results.read(folder) == Results(planned=["a", "b"], attempts=attempts, coverage_percent=84.96)


def test_the_phases_of_a_test_are_one_attempt(tmp_path: Path) -> None:
    """The phase that failed first decides; what later ones say is added."""
    said = {"error": "E: stock", "trace": "…", "location": ("test_it.py", 3), "worker": "gw1"}
    phases = [
        phase("a", "setup"),
        phase("a", "call", "failed", sections=[["shop log", "x"]], **said),
        phase("a", "teardown", "failed", error="E: later", sections=[["shop log during teardown", "y"]]),
    ]
    sections = [("shop log", "x"), ("shop log during teardown", "y")]

    assert results.read(run_dir(tmp_path, *phases)).attempts == [
        ended("a", "failed", setup_s=0.1, teardown_s=0.1, sections=sections, **said)
    ]


def test_attempts_stay_apart_and_in_order(tmp_path: Path) -> None:
    """The last one, written first, counts; the others are flaky if it passed."""
    last = [phase(name, "call", outcome, attempt=2) for name, outcome in (("a", "passed"), ("b", "failed"))]
    first = [phase(name, "call", "rerun", error="E") for name in ("a", "b")]
    read = results.read(run_dir(tmp_path, *last, *first))

    assert [(one.id, one.attempt, one.outcome) for one in read.attempts] == [
        ("a", 1, "rerun"),
        ("a", 2, "passed"),
        ("b", 1, "rerun"),
        ("b", 2, "failed"),
    ]
    assert [one.id for one in read.flaky] == ["a"]


def test_a_test_that_was_only_set_up_has_come_to_nothing(tmp_path: Path) -> None:
    """It is not among those that ran."""
    assert results.read(run_dir(tmp_path, phase("a", "setup"))).attempts == []


def test_a_crashed_worker_is_a_failed_test(tmp_path: Path) -> None:
    """pytest-xdist names no phase then."""
    crash = {"id": "a", "when": "???", "outcome": "failed", "start": 0, "error": "crashed"}

    assert [one.outcome for one in results.read(run_dir(tmp_path, phase("a", "setup"), crash)).attempts] == ["failed"]


def test_durations_are_of_all_three_phases(tmp_path: Path) -> None:
    """What the fixtures take is part of it; a test that failed took as long as its failure, which tells nothing."""
    slow = [phase("slow", when) for when in ("setup", "call", "teardown")]
    flaky = [phase("flaky", "call", "rerun", error="E"), phase("flaky", "call", attempt=2)]
    others = [phase("bad", "call", "failed"), phase("late", "call"), phase("late", "teardown", "failed")]
    read = results.read(run_dir(tmp_path, *slow, *flaky, *others, phase("skip", "setup", "skipped")))

    results.keep(read, tmp_path)

    durations = json.loads((tmp_path / "durations.json").read_text(encoding="utf-8"))
    assert durations == {"slow": 0.3, "flaky": 0.1, "skip": 0.1}
    kept = json.loads((tmp_path / "flaky.json").read_text(encoding="utf-8"))
    assert [Attempt.model_validate(entry) for entry in kept] == read.flaky


def test_a_killed_run_is_read_as_far_as_it_came(tmp_path: Path) -> None:
    """The last line may be cut anywhere, and there is no coverage."""
    folder = run_dir(tmp_path, {"planned": ["a", "b"]}, phase("a", "call"))
    with (folder / "tests.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"id": "b", "outc')

    assert results.read(folder) == Results(planned=["a", "b"], attempts=[ended("a")], cut_off=["b"])


def test_a_run_that_never_began_has_no_results(tmp_path: Path) -> None:
    """An empty folder is an answer too."""
    assert results.read(tmp_path) == Results()


@pytest.mark.parametrize("content", ["", "{}", '{"totals": {}}', "[1]", "null"])
def test_a_damaged_coverage_report_is_none(tmp_path: Path, content: str) -> None:
    """The tests' result does not depend on it."""
    (tmp_path / "coverage.json").write_text(content, encoding="utf-8")

    assert results.read(tmp_path).coverage_percent is None


@pytest.mark.parametrize(
    ("attempts", "line"),
    [
        ([], "Tests: none ran in 1.2s"),
        ([attempt("a"), attempt("b")], "Tests: 2 passed in 1.2s"),
        ([attempt("a"), attempt("b", "skipped")], "Tests: 1 passed, 1 skipped in 1.2s"),
        ([attempt("a"), attempt("b", "failed", error="E: x")], "Tests: 1 passed, 1 failed in 1.2s\n   b: E: x"),
        ([attempt("a", "rerun", error="E"), attempt("a")], "Tests: 1 passed (1 flaky) in 1.2s\n   flaky: a: E"),
        ([attempt("a", "rerun"), attempt("a", "failed", error="E")], "Tests: 1 failed in 1.2s\n   a: E"),
        ([attempt("a", "failed")], "Tests: 1 failed in 1.2s\n   a: "),
    ],
)
def test_the_closing_line_counts_each_test_once(attempts: list[Attempt], line: str) -> None:
    """With the failing ids and their first error lines."""
    assert results.tests_line(Results(attempts=attempts), 1.23) == line


def test_many_failures_are_summed_up() -> None:
    """Twenty are shown; the rest is a number."""
    lines = results.tests_line(Results(attempts=[attempt(f"t{n}", "failed") for n in range(25)]), 1).splitlines()

    assert (lines[0], lines[1], len(lines)) == ("Tests: 25 failed in 1.0s", "   t0: ", 22)
    assert lines[-1] == "   … and 5 more"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_pytests_own_verdict_stands(code: int) -> None:
    """Everything planned was reported, or pytest says itself that it stopped early."""
    planned = ["a"] if code == 0 else ["a", "b"]

    verdict.verify(Results(planned=planned, attempts=[attempt("a")]), code, Path("t"))


NONE_THERE = """no test was collected in t
  why:      no file there is called test_*.py or *_test.py, none holds a test, or -k / -m deselected all
  do:       add a test, fix `tests` in the manifest, or name your files in pytest's `python_files`"""
LEFT_EARLY = """pytest ended with exit code 0 before it had collected the tests
  why:      a conftest.py, a plugin or what they import called sys.exit or os._exit; or `addopts` has --help
  do:       search conftest.py, and what it imports, for them"""
DESELECTED = """no test was left to run in t: 9 were deselected
  why:      -k, -m, --deselect, --lf or a plugin chose none of them; pytest alone ends with 5 then
  do:       see `addopts`, PYTEST_ADDOPTS and the arguments after `--`"""
NOT_ASKED = """pytest was not asked to run tests
  why:      --help shows options and runs none
  do:       see `addopts` and PYTEST_ADDOPTS"""


@pytest.mark.parametrize(
    ("found", "code", "message"),
    [
        (Results(exit_code=5), 5, NONE_THERE),
        (Results(exit_code=0), 0, NONE_THERE),
        (Results(planned=["a"], exit_code=5), 5, NONE_THERE),
        (Results(), 0, LEFT_EARLY),  # a conftest.py that calls sys.exit(0) looks like success
        (Results(counts={"deselected": 9}), 5, DESELECTED),
        (Results(ended="--help shows options and runs none"), 0, NOT_ASKED),
    ],
)
def test_a_run_of_no_test_is_not_green_and_says_why(found: Results, code: int, message: str) -> None:
    """Whether the names of the files, the arguments or a plugin are wrong, the message leads there."""
    with pytest.raises(TestsDidNotRunError) as refused:
        verdict.verify(found, code, Path("t"))

    assert str(refused.value) == message


@pytest.mark.parametrize(("ended_with", "meant"), [(0, 1), (0, 0), (2, 1), (1, 0)])
def test_exit_code_that_pytest_meant_is_not_hidden(tmp_path: Path, ended_with: int, meant: int) -> None:
    """os._exit(0) after the session, at exit for example, makes no failed test green."""
    found = results.read(run_dir(tmp_path, {"planned": ["a"]}, phase("a", "call"), {"counts": {}}, {"exit": meant}))

    assert verdict.verify(found, ended_with, Path("t")) == (ended_with or meant)


@pytest.mark.parametrize(
    ("code", "skipped", "what"),
    [(0, ["a"], "the only one was"), (0, ["a", "b"], "all 2 were"), (5, ["file"], "the only one was")],
)
def test_a_run_that_skipped_everything_is_not_green(tmp_path: Path, code: int, skipped: list[str], what: str) -> None:
    """The reasons say what is missing, each once; a file can skip itself before its tests are known."""
    reason = {"reason": "no GPU"}
    facts = [phase(name, "setup", "skipped") | reason for name in skipped] if code == 0 else [reason]
    planned = {"planned": skipped if code == 0 else []}
    found = results.read(run_dir(tmp_path, planned, *facts, {"counts": {"skipped": len(skipped)}}, {"exit": code}))

    with pytest.raises(TestsDidNotRunError) as refused:
        verdict.verify(found, code, Path("t"))

    assert str(refused.value) == (
        f"no test ran: {what} skipped\n"
        "  why:      the reasons that the tests give stand below\n"
        "  do:       install or set what they miss, or take the tests out\n"
        "  evidence: no GPU"
    )


def test_failed_test_is_red_whatever_exit_code_a_plugin_sets() -> None:
    """The exit code agrees with the closing line, which says why it has to."""
    found = Results(planned=["a"], attempts=[attempt("a", "failed", error="E")], counts={"failed": 1}, exit_code=0)

    assert verdict.verify(found, 0, Path("t")) == 1
    assert results.tests_line(found, 1).splitlines()[1:] == [
        "   a: E",
        "   pytest ended with exit code 0 all the same: a conftest.py or a plugin changed it",
    ]


def test_fewer_than_planned_is_not_green() -> None:
    """Whatever the exit code says: os._exit(0) in a test looks like success."""
    with pytest.raises(TestsDidNotRunError) as refused:
        verdict.verify(Results(planned=["a", "b", "c"], attempts=[attempt("a")]), 0, Path("t"))

    assert str(refused.value).splitlines() == [
        "2 of 3 planned tests did not run",
        "  why:      pytest ended early with exit code 0: a plugin, os._exit or a crashed worker",
        "  do:       run them alone",
        "  evidence: b",
        "            c",
    ]


@pytest.mark.parametrize("last", [[phase("b", "setup")], []])
def test_a_pytest_that_is_cut_off_names_the_test(tmp_path: Path, last: list[dict[str, Any]]) -> None:
    """A time limit can end all of pytest, with exit code 1: neither the error nor the closing line hides which test."""
    found = results.read(run_dir(tmp_path, {"planned": ["a", "b", "c"]}, phase("a", "call"), *last))

    with pytest.raises(TestsDidNotRunError) as refused:
        verdict.verify(found, 1, Path("t"))

    assert refused.value.what == "pytest ended while b ran; 2 of 3 tests had not run"
    assert results.tests_line(found, 1.0) == "Tests: 1 passed in 1.0s\n   b: pytest ended while it ran"


def test_a_test_that_is_cut_off_while_it_is_torn_down_is_named(tmp_path: Path) -> None:
    """It has passed by then; the next test has not begun, and nothing of it hung."""
    found = results.read(run_dir(tmp_path, {"planned": ["a", "b"]}, phase("a", "setup"), phase("a", "call")))

    assert found.cut_off == ["a"]


KILLED = "the system was out of memory, or it was killed: by hand, or by a test that kills its process group"
CRASHED = "code outside Python crashed, an extension module most often: its stack stands above"
SENT = "it was sent by hand, or by a test that signals its own process or process group"


@pytest.mark.parametrize(
    ("code", "name", "why"),
    [(-9, "SIGKILL", KILLED), (-11, "SIGSEGV", CRASHED), (-15, "SIGTERM", SENT), (-40, "signal 40", SENT)],
)
def test_a_killed_pytest_is_named_by_its_signal(code: int, name: str, why: str) -> None:
    """With the test that was running first; a crash is not blamed on the memory."""
    with pytest.raises(TestsDidNotRunError) as refused:
        verdict.verify(Results(planned=["a", "b"], attempts=[ended("a")]), code, Path("t"))

    assert str(refused.value) == (
        f"{name} ended pytest; 1 of 2 tests had not run\n"
        f"  why:      {why}\n"
        "  do:       run the first test below alone\n"
        "  evidence: b"
    )


@pytest.mark.parametrize(
    "fact", ["5", "[[", '{"counts": true}', '{"planned": null}', '{"id": 1}', '{"sections": [null]}']
)
def test_a_line_that_no_recorder_wrote_is_left_out(tmp_path: Path, fact: str) -> None:
    """A test can write into the record of its own run: the rest of it still counts."""
    (tmp_path / "tests.jsonl").write_text(f'{{"planned": ["t::a"]}}\n{fact}\n')

    assert results.read(tmp_path).planned == ["t::a"]
