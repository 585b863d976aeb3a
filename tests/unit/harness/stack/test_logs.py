"""`testbay logs` where nothing runs."""

from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.harness.stack import logs
from testbay.output import Voice
from testbay.settings import Settings


def test_following_a_run_that_is_over_says_so(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its logs come, and the command ends."""
    folder = tmp_path / ".testbay/runs/20260101-000000-shop-1/logs"
    folder.mkdir(parents=True)
    (folder / "postgres.log").write_text("ready\n", encoding="utf-8")

    logs.show(logs.WhichLogs(which=None, only=None, lines=5, follow=True), tmp_path, settings, Voice(environ={}), str)

    assert capsys.readouterr().out.splitlines() == [
        "postgres | ready",
        "# no stack runs that could be followed; this was 20260101-000000-shop-1",
    ]


@pytest.mark.parametrize("only", [None, "redis", "dragonfly"])
def test_a_log_is_called_as_its_server(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str], only: str | None
) -> None:
    """Redis, in the room of Dragonfly; both names choose it."""
    run = tmp_path / ".testbay/runs/20260101-000000-shop-1"
    (run / "logs").mkdir(parents=True)
    (run / "logs/dragonfly.log").write_text("ready\n", encoding="utf-8")
    (run / "run.json").write_text(
        '{"id": "r", "dependencies": [{"name": "dragonfly", "title": "Redis"}]}', encoding="utf-8"
    )

    logs.show(logs.WhichLogs(which=None, only=only, lines=5, follow=False), tmp_path, settings, Voice(environ={}), str)

    assert capsys.readouterr().out.splitlines() == ["redis | ready"]


@pytest.mark.parametrize("which", ["shop", "20260101-000000-shop-1"])
def test_a_run_of_another_service_is_not_shown(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    """Its name only begins with the one asked for, and its run is newer."""
    for name in ("20260101-000000-shop-1", "20260102-000000-shop-api-1"):
        (tmp_path / f".testbay/runs/{name}/logs").mkdir(parents=True)
        (tmp_path / f".testbay/runs/{name}/logs/nats.log").write_text(f"{name}\n", encoding="utf-8")

    logs.show(logs.WhichLogs(which=which, only=None, lines=5, follow=False), tmp_path, settings, Voice(environ={}), str)

    assert capsys.readouterr().out.splitlines() == ["nats | 20260101-000000-shop-1"]


def test_a_session_of_plain_pytest_hides_no_run(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is newer, and keeps no server's log; where there is nothing else, it is told how to get one."""
    session, run = (tmp_path / f".testbay/runs/2026010{day}-000000-pytest-1/logs" for day in (2, 1))
    asked = logs.WhichLogs(which=None, only=None, lines=5, follow=False)
    session.mkdir(parents=True)
    with pytest.raises(ManifestError) as caught:
        logs.show(asked, tmp_path, settings, Voice(environ={}), str)
    run.mkdir(parents=True)
    (run / "nats.log").write_text("ready\n", encoding="utf-8")

    logs.show(asked, tmp_path, settings, Voice(environ={}), str)

    assert caught.value.todo == "`testbay up` or `testbay run` starts servers"
    assert capsys.readouterr().out.splitlines() == ["nats | ready"]
