"""Temporary folders of a fix, also of a monitor that was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from error_monitor.fixes import scratch

HOLDER = """
from error_monitor.fixes import scratch
with scratch.folder("fix") as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    input()
"""


def test_a_folder_outlives_a_killed_monitor_only_until_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in use stays; after SIGKILL the next of the same purpose removes it, and at last its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = tmp_path / "error-monitor-fix.txt"
    other.touch()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        held = Path(holder.stdout.readline().strip())
        with scratch.folder("fix") as mine:
            assert sorted(tmp_path.iterdir()) == sorted([held, mine, other])
        holder.kill()

    assert (held / "large").is_file()
    with scratch.folder("fix") as mine:
        assert sorted(tmp_path.iterdir()) == sorted([mine, other])
    assert list(tmp_path.iterdir()) == [other]
