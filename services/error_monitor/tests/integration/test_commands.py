"""The commands: scan once, import a finished file, migrate, each as a process of its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.commands import Run, counted
from harness.instance import Make
from harness.logfiles import LogFolder, failure

from testbay.production.checks.report import from_json

if TYPE_CHECKING:
    import psycopg


def test_scan_reads_once_and_ends(run: Run, logs: LogFolder, postgres: "psycopg.Connection[Any]") -> None:
    """For cron: what is new since the last call, as one line of JSON."""
    logs.fail(3)
    first = run("scan")
    second = run("scan")

    assert (first[0], json.loads(first[1])) == (0, {"lines": 15, "events": 3, "new_patterns": 1, "errors": {}})
    assert (second[0], json.loads(second[1])["events"], counted(postgres)) == (0, 0, 3)


def test_scan_beside_a_running_monitor_is_refused(run: Run, monitor: Make, logs: LogFolder) -> None:
    """A call of cron while an instance serves: it says so, and counts nothing."""
    one = monitor()
    logs.fail(1)
    one.scan()

    code, said = run("scan")

    assert (code, "another instance scans as 'default' now" in said) == (1, True)


def test_scan_with_a_failing_source(run: Run, logs: LogFolder) -> None:
    """Exit code 3: something was not read; the rest was."""
    logs.fail(1)
    code, said = run("scan", LOKI_ENABLED="true", LOKI_URL="http://127.0.0.1:9")

    found = json.loads(said.splitlines()[-1])
    assert (code, list(found["errors"]), found["events"]) == (3, ["loki"], 1)


def test_import_counts_a_content_once(run: Run, tmp_path: Path, postgres: "psycopg.Connection[Any]") -> None:
    """The same file again, or a copy of it under another name, is not counted again."""
    file, copy = tmp_path / "old.log.gone", tmp_path / "copy"
    file.write_text(failure("no pay") * 4 + "ERROR without an end")
    copy.write_bytes(file.read_bytes())

    codes = [run("import", str(file), "--service", "shop")[0], run("import", str(file), str(copy))[0]]

    row = postgres.execute("SELECT DISTINCT services FROM error_monitor.patterns").fetchone()
    assert (codes, counted(postgres), row) == ([0, 0], 5, (["shop"],))


def test_import_names_a_missing_file(run: Run, tmp_path: Path) -> None:
    """Exit code 2, and nothing is read."""
    code, said = run("import", str(tmp_path / "none.log"))

    assert (code, "no such file" in said) == (2, True)


def test_migrate_makes_the_tables(run: Run, logs: LogFolder, postgres: "psycopg.Connection[Any]") -> None:
    """On an empty database; again it has nothing to do, and what is there stays."""
    postgres.execute("DROP SCHEMA error_monitor CASCADE")
    before = run("scan")
    first, second = run("migrate"), run("migrate")
    logs.fail(1)
    after = run("scan")

    assert (before[0], "error-monitor migrate" in before[1], after[0]) == (1, True, 0)
    assert len(json.loads(first[1])["applied"]) >= 3
    assert json.loads(second[1]) == {"applied": []}


def test_migrate_after_another_tool(run: Run, postgres: "psycopg.Connection[Any]") -> None:
    """Tables that psql made are recognised, not made again."""
    assert run("migrate") == (0, '{"applied": []}')


@pytest.mark.parametrize("command", ["scan", "migrate"])
def test_without_a_database(run: Run, command: str) -> None:
    """A database that does not answer: exit code 1, one line."""
    code, said = run(command, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none", ERROR_MONITOR_DB_TIMEOUT_S="0.5")

    assert (code, "the database is away" in said) == (1, True)


@pytest.mark.parametrize("command", ["serve", "scan", "migrate"])
def test_wrong_settings_end_every_command(run: Run, command: str) -> None:
    """Exit code 2, with the variable's name."""
    code, said = run(command, ERROR_MONITOR_NOTHING="1")

    assert (code, "ERROR_MONITOR_NOTHING is unknown" in said) == (2, True)


def test_report_for_incidents(run: Run, monitor: Make, logs: LogFolder) -> None:
    """A pattern that is seen fails, one that was resolved passes, one that is ignored is skipped: testbay reads it."""
    logs.fail(1, where="pay")
    logs.fail(1, where="ship")
    logs.fail(1, where="pack")
    one = monitor()
    one.scan()
    prints = {pattern["message"]: pattern["fingerprint"] for pattern in one.patterns()}
    one.client.post(f"/errors/{prints['no ship']}/resolve")
    one.client.post(f"/errors/{prints['no pack']}/ignore")

    code, said = run("report", "--severity", "high", "--severity", "medium", "--severity", "low")

    verdicts = {result["check"]: result["verdict"] for result in json.loads(said)["results"]}
    assert (code, from_json(said).exit_code) == (0, 20)
    expected = {prints["no pay"]: "fail", prints["no ship"]: "pass", prints["no pack"]: "skip"}
    assert verdicts == {**expected, "patterns": "pass", "scan": "pass"}


def test_what_was_not_scanned_is_not_quiet(run: Run, logs: LogFolder, postgres: "psycopg.Connection[Any]") -> None:
    """A monitor that ended two days ago has seen no error since, and proves nothing by that."""
    logs.fail(1)
    run("scan")
    postgres.execute("UPDATE error_monitor.scans SET finished_at = finished_at - interval '2 days'")
    postgres.execute("UPDATE error_monitor.patterns SET last_seen = last_seen - interval '2 days'")

    found = from_json(run("report", "--severity", "medium")[1])

    assert [one.verdict for one in found.results] == ["fail", "pass", "error"]


def test_a_pattern_is_as_grave_as_its_gravest_event(
    run: Run, tmp_path: Path, postgres: "psycopg.Connection[Any]"
) -> None:
    """First a warning, with the same exception later an error: people have to be told of it."""
    for at, level in enumerate(("WARNING", "ERROR", "INFO")):
        file = tmp_path / f"{at}.log"
        file.write_text(f"{level} cannot pay\n{failure('no pay')}")
        assert run("import", str(file), "--service", "shop")[0] == 0

    assert postgres.execute("SELECT level, severity FROM error_monitor.patterns").fetchall() == [("error", "medium")]


def test_health_as_a_command(run: Run, monitor: Make) -> None:
    """For a container's health check: exit code 0 from a monitor that is well, 1 where none answers."""
    one = monitor()

    assert [run("health", "--port", str(one.port))[0], run("health", "--port", "9")[0]] == [0, 1]
