"""The jail: what runs in it reaches nothing outside, and nothing of it is left. `REQUIRE_JAIL=1` asks for it."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness.waiting import eventually

from error_monitor.fixes import jail, runs
from error_monitor.fixes.options import FixSettings
from error_monitor.settings import Settings

CANARY = f"canary-of-the-jail-{os.getpid()}"
ESCAPES = [json.loads(line) for line in Path(__file__).with_name("escapes.jsonl").read_text().splitlines()]
ONE = """
import traceback
for escape in ESCAPES:
    try:
        exec(escape["code"], {**KNOWN})
    except BaseException as exc:
        print("held", escape["name"], type(exc).__name__, flush=True)
    else:
        print("ESCAPED", escape["name"], flush=True)
"""
STUBBORN = (
    "import os, signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; os.fork(); time.sleep(3600)"
)
LEFT = f"""
import subprocess, sys, time
for _ in range(5):
    subprocess.Popen([sys.executable, "-c", {STUBBORN!r}, "{CANARY}-left"], start_new_session=True)
"""


@pytest.fixture(scope="module")
def settings() -> FixSettings:
    if os.environ.get("REQUIRE_JAIL") != "1":
        pytest.skip("REQUIRE_JAIL=1 tries to escape from the jail of bubblewrap; .ci/run does")
    assert shutil.which("bwrap"), "bubblewrap is not installed (scripts/dev/programs.sh fetches it)"
    return Settings.from_env({"ERROR_MONITOR_FIX_JAIL": "bubblewrap"}).fixes


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkout with a file; the folder above it belongs to the parent."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "app.py").write_text("x = 1\n")
    (tmp_path / "private.txt").write_text("of the parent")
    tmp_path.chmod(0o700)
    return tmp_path / "checkout"


@pytest.fixture
def host_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as named:
        named.bind(f"\0{CANARY}")
        named.listen()
        yield server.getsockname()[1]


def run(settings: FixSettings, base: Path, code: str) -> tuple[jail.Ended, str]:
    """How it ended, and what it printed."""

    async def inside() -> jail.Ended:
        order = jail.Order(base=base, edits=[], argv=["python", "-c", code], env={})
        return await (await jail.choose(settings)).run(order)

    ended = asyncio.run(inside())
    return ended, runs.outcome("run", ended, "").tail


def left() -> list[str]:
    """The processes of this test that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += [entry.name] if f"{CANARY}-left".encode() in (entry / "cmdline").read_bytes() else []
            except OSError:
                continue
    return found


def test_every_escape_is_held(
    settings: FixSettings, base: Path, host_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network, credentials, the parent's files, other processes, rights: 0 of them are reached."""
    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    known = {
        "CANARY": CANARY, "HOST_PORT": host_port, "HOST_SOCKET": CANARY, "HOST_PID": os.getpid(),
        "PARENT_FILE": str(base.parent / "private.txt"), "HOME": str(Path.home()),
        "USERS": Path("/etc/passwd").read_text(),
        "HOME_FILES": [file.name for file in Path.home().iterdir() if file.is_file()] or ["none"],
    }  # fmt: skip
    _, said = run(settings, base, f"KNOWN = {known!r}\nESCAPES = {ESCAPES!r}\n{ONE}")

    found = [line.split(" ", 1)[0] for line in said.splitlines() if line.startswith(("held", "ESCAPED"))]
    assert found == ["held"] * len(ESCAPES), said


def test_nothing_is_left_of_a_run(settings: FixSettings, base: Path) -> None:
    """Not of one that ends while its children go on, and not of one that is killed for its time."""
    ended, said = run(settings, base, LEFT)
    assert ended.problem == "", said
    eventually(lambda: left() == [], "the children to end")

    limits = replace(settings.limits, wall_s=5.0)
    ended, said = run(replace(settings, limits=limits), base, f"{LEFT}\ntime.sleep(3600)")
    assert ended.problem == "it did not end within 5 s", said
    eventually(lambda: left() == [], "the jail to end")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os, time\nfor _ in range(100):\n    os.fork() or time.sleep(600)\ntime.sleep(600)", "processes"),
        ("import time\nkept = [bytearray(b'x' * (1 << 20)) for _ in range(200)]\ntime.sleep(600)", "memory"),
    ],
)
def test_what_takes_too_much_is_ended(settings: FixSettings, base: Path, code: str, problem: str) -> None:
    """By the watch or by the kernel's limit; the jail and the monitor go on."""
    limits = replace(settings.limits, wall_s=30.0, processes=40, memory_bytes=128 << 20)
    ended, said = run(replace(settings, limits=limits), base, code)

    ended_by = [
        word for word in (problem, "did not end", "MemoryError", "BlockingIOError") if word in ended.problem + said
    ]
    assert ended_by, said
    eventually(lambda: left() == [], "the jail to end")


def test_a_full_disk_is_the_jails_own(settings: FixSettings, base: Path) -> None:
    """The file system is its own and has a size."""
    limits = replace(settings.limits, disk_bytes=32 << 20)
    code = "file = open('/tmp/fill', 'wb')\nwhile True:\n    file.write(bytes(1 << 20))\n    file.flush()"
    _, said = run(replace(settings, limits=limits), base, code)

    assert "No space left on device" in said or "File too large" in said


PARENT = """import asyncio, sys
from pathlib import Path
from error_monitor.fixes import jail
from error_monitor.settings import Settings
async def main():
    order = jail.Order(base=Path(sys.argv[1]), edits=[], argv=["python", "-c", sys.argv[2]], env={})
    await (await jail.choose(Settings.from_env({"ERROR_MONITOR_FIX_JAIL": "bubblewrap"}).fixes)).run(order)
asyncio.run(main())
"""


def test_nothing_is_left_when_the_monitor_is_killed(settings: FixSettings, base: Path) -> None:
    """`kill -9` in the middle of a run: the kernel ends the jail with its parent."""
    code = f"{LEFT}\ntime.sleep(3600)"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(base), code], env=os.environ | {"TMPDIR": str(base.parent)}
    )
    try:
        eventually(lambda: len(left()) >= 5, "the run to be in the middle")
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    eventually(lambda: left() == [], "the jail to end")
