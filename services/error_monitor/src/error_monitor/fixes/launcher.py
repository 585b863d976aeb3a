"""The program inside the jail: gives up its rights, sets limits, copies the base, runs one command, hands results out.

Usage: python launcher.py ORDERS; ORDERS is a JSON file. The results are a tar on standard output. Only the standard
library: the interpreter is that of the service under test.
"""

import ctypes
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

KEPT = ("run.json", "junit.xml", "coverage.json", "tests.jsonl", "report.html")
FILE_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 200_000
_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2): orphans become children of this process


def main(orders: dict[str, Any]) -> None:
    """Do it."""
    for limit, value in orders["limits"].items():
        resource.setrlimit(getattr(resource, limit), (value, value))
    if orders["user"] and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(orders["user"], orders["user"], orders["user"])
        os.setresuid(orders["user"], orders["user"], orders["user"])
    work = Path(orders["work"])
    shutil.copytree(orders["base"], work, symlinks=False, dirs_exist_ok=True)
    edits = Path(orders["edits"])
    for file in sorted(edits.rglob("*")):
        if file.is_file():
            target = work / file.relative_to(edits)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
    log = work.parent / "output.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, *orders["argv"][1:]],  # its first word is `python`, which a machine may call otherwise
            cwd=work / orders["folder"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    _end_children()
    _hand_out(work, log, done.returncode)


def _end_children() -> None:
    """End what the command left behind, daemons too, which are ours now: nothing may rewrite results while we read."""
    while children := Path("/proc/thread-self/children").read_text(encoding="ascii").split():
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _hand_out(work: Path, log: Path, code: int) -> None:
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        _add(tar, "exit", str(code).encode())
        text = log.read_bytes()
        _add(tar, "output.log", text[-TAIL_BYTES:])
        for run in sorted(work.rglob(".testbay/runs/*"))[-1:]:
            files = [run / name for name in KEPT] + sorted((run / "logs").glob("*.log"))[:20]
            for file in files:
                if file.is_file() and not file.is_symlink():
                    with file.open("rb") as opened:
                        _add(tar, file.relative_to(run).as_posix(), opened.read(FILE_BYTES))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
