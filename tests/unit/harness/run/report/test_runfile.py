import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.samples.records import attempt, failed, record, write

from testbay import text as wording
from testbay.errors import ManifestError
from testbay.harness.run.report import runfile
from testbay.harness.run.report.recorded import CoveredFile, RecordedRun

DEEP = "maximum recursion depth" if sys.version_info < (3, 14) else "Stack overflow"  # Python's words


HOSTILE = "\x1b[31mred\x1b[0m\x07 </script> \u202egnp.exe \udcff\r\nnext\rlast"
SHOWN = "red\\x07 </script> \\u202egnp.exe \\udcff\nnext\nlast"


def parsed(*tests: dict[str, Any], **more: Any) -> RecordedRun:
    return RecordedRun.of(record(*tests, **more))


def refused(folder: Path) -> str:
    with pytest.raises(ManifestError) as error:
        runfile.read(folder)
    return str(error.value).replace(str(folder), "RUN")


def test_a_record_is_read_with_its_coverage(tmp_path: Path) -> None:
    """The least covered file comes first."""
    folder = write(tmp_path, record(attempt("a")), {"x.py": [3], "y.py": [1, 2, 9]})

    run = runfile.read(folder)

    assert (run.service, [test.id for test in run.tests], run.headline) == ("shop", ["a"], "1 test passed")
    assert run.covered == (
        CoveredFile(name="y.py", statements=100, missing=3, percent=97, missing_lines=(1, 2, 9)),
        CoveredFile(name="x.py", statements=100, missing=1, percent=99, missing_lines=(3,)),
    )


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"files": {"x": 1}}', '{"files": {"x": {"summary": {}}}}', "\xff"]
)
def test_damaged_coverage_is_left_out(tmp_path: Path, content: str) -> None:
    """The report of the tests does not depend on it."""
    write(tmp_path, record(attempt("a")))
    (tmp_path / "coverage.json").write_text(content, encoding="latin-1")

    assert runfile.read(tmp_path).covered == ()


def test_a_record_needs_only_an_id(tmp_path: Path) -> None:
    """What an older testbay did not record, or a killed run not any more, is left out."""
    run = runfile.read(write(tmp_path, {"id": "r", "started": None, "tests": [{"id": "a", "outcome": "passed"}]}))

    assert (run.headline, run.startup_s, run.length_s) == ("Not finished: 1 test ended so far", 0.0, 0.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"id": "r", "te', "RUN/run.json: not a whole record\n  why:      Unterminated string starting at"),
        ("", "RUN/run.json: not a whole record\n  why:      Expecting value"),
        ("[" * 100_000, f"RUN/run.json: not a whole record\n  why:      {DEEP}"),
        ("[]", "RUN/run.json: the whole: Input should be a valid dictionary"),
        (
            '{"id": "r", "format": 2}',
            "RUN/run.json: it has format '2', and this testbay reads up to 1: a newer one wrote",
        ),
        ('{"id": "r", "format": null}', "RUN/run.json: it has format 'None'"),
        ("{}", "RUN/run.json: id: Field required\n  do:       another version of testbay may have written it"),
        ('{"id": 7}', "RUN/run.json: id: Input should be a valid string"),
        ('{"id": "r", "tests": {}}', "RUN/run.json: tests: Input should be a valid list"),
        ('{"id": "r", "tests": [{"id": "a", "outcome": "x"}]}', "RUN/run.json: tests.0.outcome: Input should be"),
        ('{"id": "r", "duration_s": NaN}', "RUN/run.json: duration_s: Input should be a finite number"),
        ('{"id": "r", "startup": [{"name": "p", "start_s": "x"}]}', "RUN/run.json: startup.0.start_s: Input should be"),
    ],
)
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    """File, key and what is wrong with it."""
    (tmp_path / "run.json").write_text(content, encoding="utf-8")

    assert refused(tmp_path).startswith(said)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    """It may be any folder."""
    assert refused(tmp_path) == "RUN/run.json: No such file or directory\n  do:       name a run's folder, or its id"


def test_a_record_too_large_to_read_is_refused(tmp_path: Path) -> None:
    """Reading it would take the machine's memory."""
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(600 << 20)

    assert refused(tmp_path).startswith("RUN/run.json: larger than 128 MiB")


def test_a_pipe_in_the_place_of_a_record_is_refused(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "run.json")

    assert refused(tmp_path).startswith("RUN/run.json: no ordinary file")


def test_every_text_is_plain(tmp_path: Path) -> None:
    """No escape sequence, no turned-round text and no half of a character reaches a reader."""
    test = failed(f"a::{HOSTILE}", trace=HOSTILE, sections=[["log", HOSTILE]])
    [read] = runfile.read(write(tmp_path, record(test))).attempts

    assert read.id == "a::" + SHOWN.replace("\n", " ↵ ")
    assert (read.trace, read.sections) == (SHOWN, [("log", SHOWN)])


def test_two_hundred_megabytes_of_output_are_cut_to_their_end() -> None:
    """And it is said how much came before."""
    [test] = parsed(failed("a", sections=[["log", "x" * 200_000_000 + "\nthe end\n"]])).attempts

    [(_, text)] = test.sections
    assert len(text) < 70_000
    assert (text.splitlines()[0], text.splitlines()[-1]) == ("… 199934473 characters before this", "the end")


def test_a_line_is_cut_to_its_beginning() -> None:
    """Ids and first error lines."""
    [test] = parsed(failed("a", error="E" * 100_000)).attempts

    assert test.error == "E" * 2000 + "…"


def test_ids_that_differ_at_their_end_stay_two() -> None:
    """A long parameter is cut for the reader, and no test is lost by it."""
    run = parsed(attempt("p" * 5000 + "1"), attempt("p" * 5000 + "2"), planned=["p" * 5000 + "1"])

    assert (len(run.tests), run.silent, len(run.tests[0].id)) == (2, [], 2009)


def test_a_secret_is_masked_before_a_text_is_cut() -> None:
    """Otherwise the cut would leave a half that no mask knows; one that an escape sequence hid is found as well."""
    secret = "hunter2" * 100
    text = f"{secret}\n{secret[:9]}\x1b[31m{secret[9:]} " + "x" * (64 * 1024 - 300)
    content = record(failed("a", trace=text, error=secret))
    [test] = RecordedRun.of(content, lambda found: found.replace(secret, "***")).attempts

    assert ("hunter2" in test.trace, "***" in test.trace, test.error) == (False, True, "***")


def test_a_secret_with_a_control_character_is_masked() -> None:
    """Made plain it would not be known again."""
    content = record(failed("a", trace="key pass\x07word", error="key pass\x07word"))
    [test] = RecordedRun.of(content, lambda text: text.replace("pass\x07word", "***")).attempts

    assert (test.trace, test.error) == ("key ***", "key ***")


@pytest.mark.parametrize(
    ("outcomes", "outcome", "flaky"),
    [
        (["passed"], "passed", False),
        (["rerun", "passed"], "passed", True),
        (["rerun", "rerun", "failed"], "failed", False),
        (["passed", "failed"], "failed", False),
        (["skipped"], "skipped", False),
        (["rerun"], "failed", False),
    ],
)
def test_a_tests_attempts_are_one_test(outcomes: list[str], outcome: str, *, flaky: bool) -> None:
    """One that was to be tried again and was not (the run was killed) has failed."""
    [test] = parsed(*[attempt("a", each, attempt=number) for number, each in enumerate(outcomes, 1)]).tests

    assert (test.outcome, test.flaky, len(test.attempts)) == (outcome, flaky, len(outcomes))


@pytest.mark.parametrize(
    ("tests", "more", "headline"),
    [
        ([attempt("a"), attempt("b")], {}, "2 tests passed"),
        ([attempt("a"), attempt("b", "skipped")], {}, "1 test passed, 1 skipped"),
        ([attempt("a"), attempt("b", "skipped")], {"counts": {"passed": 1, "xfailed": 1}}, "1 test passed, 1 xfailed"),
        ([attempt("a"), failed("b")], {}, "1 of 2 tests failed"),
        ([attempt("a")], {"exit_code": None}, "Not finished: 1 test ended so far"),
        ([attempt("a")], {"exit_code": 3}, "Ended with exit code 3"),
        ([], {"exit_code": 12, "error": {"what": "nats did not answer"}}, "nats did not answer"),
    ],
)
def test_the_verdict_in_half_a_sentence(tests: list[dict[str, Any]], more: dict[str, Any], headline: str) -> None:
    """A failed test is the news, else what ended the run, else how many passed."""
    assert parsed(*tests, **more).headline == headline


def test_planned_tests_that_never_reported_are_known() -> None:
    """A killed pytest is not a short one."""
    assert parsed(attempt("a"), planned=["a", "b"]).silent == ["b"]


def test_times_that_no_clock_could_give_are_bounded() -> None:
    """A clock that was set while the tests ran breaks no chart."""
    run = parsed(attempt("a", duration_s=-5, start=-1e300), duration_s=1e300)

    assert (run.attempts[0].duration_s, run.attempts[0].start, run.duration_s) == (0.0, 0.0, 1e9)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.004, "4 ms"), (0.52, "0.52 s"), (9.996, "10.0 s"), (12.34, "12.3 s"), (125.4, "2 min 5 s")],
)
def test_durations_are_as_precise_as_they_are_useful(seconds: float, text: str) -> None:
    """Three digits at most."""
    assert wording.duration(seconds) == text


def test_lines_are_ranges() -> None:
    """As coverage's own table has them."""
    assert wording.line_ranges([3, 7, 8, 9, 12]) == "3, 7-9, 12"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A project with three runs and a folder that is none."""
    base = tmp_path / ".testbay" / "runs"
    for name in ("20261121-100000-shop-aaaa", "20261121-110000-shop-bbbb", "20261121-110000-shop-bbbb-2"):
        write(base / name, {"id": name})
    (base / "20261122-000000-shop-cccc").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, "20261121-110000-shop-bbbb-2"),
        ("20261121-110000-shop-bbbb", "20261121-110000-shop-bbbb"),
        ("aaaa", "20261121-100000-shop-aaaa"),
    ],
)
def test_a_run_is_found_by_what_is_known_of_it(runs: Path, asked: str | None, found: str) -> None:
    """The newest, a whole id, or a part that no other has."""
    assert runfile.find(runs, asked).name == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("zzz", "no run has 'zzz' in its id\n  why:      the newest: 20261121-100000-shop-aaaa, 20261121-110000-shop-"),
        (
            "bbb",
            "2 runs have 'bbb' in their id\n  why:      the newest: 20261121-110000-shop-bbbb, 20261121-110000-sho",
        ),
    ],
)
def test_a_run_that_is_not_one_is_refused(runs: Path, asked: str, said: str) -> None:
    """With those it might be."""
    with pytest.raises(ManifestError) as error:
        runfile.find(runs, asked)

    assert str(error.value).startswith(said)


def test_a_project_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    """The first thing a newcomer may type."""
    with pytest.raises(ManifestError) as error:
        runfile.find(tmp_path, None)

    assert str(error.value) == f"{tmp_path}/.testbay/runs: no run is recorded here\n  do:       make one: testbay run"


def test_a_newer_record_is_read(tmp_path: Path) -> None:
    """What this version does not know is no fault."""
    assert runfile.read(write(tmp_path, record(attempt("a", colour="blue"), json=json.dumps({})))).good
