import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.samples.records import failed
from tests.unit.conftest import Service

from testbay.errors import EngineUnavailableError, ManifestError
from testbay.harness.plugin import suite
from testbay.harness.run import folder, reopen
from testbay.harness.run import run as runs
from testbay.harness.run.recordparts import Attempt
from testbay.settings import Settings


def test_a_report_that_cannot_be_made_changes_nothing(
    service: Service, project: Path, settings: Settings, recording: Any
) -> None:
    """The run ended as it ended; that its report is missing is said."""
    heard = recording()
    run = runs.Run(service(), project, settings, heard.voice)
    (run.dir / "run.json").write_text('{"id": ', encoding="utf-8")

    runs._write_reports(run)

    assert heard.text.startswith(f"    no report: {run.dir}/run.json: not a whole record\n")


def test_a_summary_that_is_full_is_said(service: Service, project: Path, settings: Settings, recording: Any) -> None:
    """The run's own summary.md has all of it."""
    target = project / "step"
    target.write_text("x" * (1 << 20))
    heard = recording()
    run = runs.Run(service(), project, Settings(cache_dir=settings.cache_dir, step_summary=target), heard.voice)
    run.save()

    runs._write_reports(run)

    assert heard.text == "    nothing was added to the step's summary: it has 1048576 bytes\n"
    assert (run.dir / "summary.md").read_text(encoding="utf-8").startswith("## ❌ shop: Not finished")


def test_what_is_told_has_no_secret(service: Service, project: Path, settings: Settings, recording: Any) -> None:
    """Wherever in the record it stands, and in whichever form."""
    environ = {"API_KEY": "sk-canary-12345678", "GITHUB_ACTIONS": "true"}
    heard = recording(**environ)
    manifest = service('[tool.testbay.secrets]\nAPI_KEY = "/shop/key"')
    run = runs.Run(manifest, project, replace(settings, environ=environ), heard.voice)
    said = failed("test_a[sk-canary-12345678]", error="87654321-yranac-ks")
    run.record.attempts = [Attempt.model_validate(said)]
    run.save()

    runs._write_reports(run)

    said = heard.text + "".join((run.dir / name).read_text(encoding="utf-8") for name in ("report.html", "summary.md"))
    assert ("canary" in said, "yranac" in said, said.count("***") > 3) == (False, False, True)


def test_a_run_is_kept_while_it_goes_on(tmp_path: Path) -> None:
    """One whose clock was set back, so that twenty others are newer; and another process's, beside which many began."""
    names = [f"2999{number:04}-000000-shop-1" for number in range(21)]
    for name in names:
        (folder.runs(tmp_path) / name).mkdir(parents=True)
    others = os.open(folder.runs(tmp_path) / names[0], os.O_RDONLY)
    fcntl.flock(others, fcntl.LOCK_SH)

    made = folder.make(tmp_path, "20260101-000000-shop-2")
    assert sorted(one.name for one in made.parent.iterdir()) == [made.name, names[0], *names[2:]]
    os.close(others)


def test_the_records_of_another_user_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a run as root: the folder is not writable by its mode alone."""

    def refused(*_: Any) -> Path:
        raise PermissionError(errno.EPERM, "another user made it")

    monkeypatch.setattr(folder, "records_of", refused)

    with pytest.raises(EngineUnavailableError, match="cannot keep the run's record here") as error:
        folder.make(tmp_path, "20260101-000000-shop-2")
    assert error.value.todo == f'sudo chown -R "$(id -u)" {tmp_path}/.testbay: as after `sudo testbay`'


def test_words_longer_than_a_name_are_no_files(tmp_path: Path) -> None:
    """An expression for `-k`, or the id of a test with a long parameter."""
    (tmp_path / "tests").mkdir()
    words = ["-k", " or ".join(f"test_{number}" for number in range(99)), f"tests/test_a.py::test_b[{'x' * 300}]"]

    assert suite.as_seen_from(tmp_path, words, [tmp_path]) == words
    with pytest.raises(ManifestError, match="no test's state is kept") as error:
        reopen.choose(tmp_path, words[2], None)
    assert "tests that share the run's database leave none" in error.value.why
