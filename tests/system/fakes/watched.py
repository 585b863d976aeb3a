"""A `testbay watch` of its own process on a deployment on loopback, and the people that it tells."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import httpx
from aiosmtpd.controller import Controller
from tests.system.conftest import WARM, usual_environ
from tests.warm import ONE_OUTPUT

from testbay.fixtures import eventually
from testbay.ports import hold

Found = TypeVar("Found")
PATIENCE_S = 60.0


def soon(look: Callable[[], Found], within_s: float = PATIENCE_S) -> Found:
    """What is there in the end, as soon as it is."""
    return eventually(look, deadline_s=within_s)


class Watch:
    """The watcher of a project in a folder. `said` is what it printed so far."""

    def __init__(self, folder: Path, manifest: str, environ: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "testbay.toml").write_text(manifest, encoding="utf-8")
        self.folder = folder
        self.environ = usual_environ() | dict(environ)
        self.said = ""
        self.child: subprocess.Popen[str] | None = None

    def start(self, *more: str) -> "Watch":
        """Begin to watch; the live page is at `url`."""
        self.said = ""
        self.child = self.popen("watch", "--listen", "127.0.0.1:0", *more)
        self.reader = threading.Thread(target=self._listen, args=(self.child,), daemon=True)
        self.reader.start()
        soon(lambda: "watching" in self.said or (self.child and self.child.poll() is not None))
        self.url = next((line.split()[-1] for line in self.said.splitlines() if "live page" in line), "")
        return self

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-m", "testbay", *arguments]
        return subprocess.Popen(argv, cwd=self.folder, env=self.environ, text=True, **ONE_OUTPUT)

    def call(self, *arguments: str) -> tuple[int, str]:
        """Another command in the same project."""
        done = WARM.run(arguments, cwd=self.folder, environ=self.environ)
        return done.returncode, done.stdout

    def _listen(self, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                self.said += line

    def get(self, path: str = "") -> httpx.Response:
        """A part of the live page."""
        return httpx.get(self.url + path, timeout=30, trust_env=False)

    def checks(self) -> dict[str, Any]:
        """What /api/checks says of each check by its name."""
        return {one["check"]: one for one in self.get("api/checks").json()["checks"]}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(timeout=PATIENCE_S)

    def rows(self, query: str) -> list[Any]:
        """Of its history."""
        with closing(sqlite3.connect(self.folder / ".testbay/watch/watch.db")) as db:
            return db.execute(query).fetchall()

    def incidents(self) -> list[dict[str, Any]]:
        """Those in its history, the oldest first."""
        return [json.loads(record) for (record,) in self.rows("select record from incidents order by id")]


@contextmanager
def watching(folder: Path, manifest: str, **environ: str) -> Iterator[Watch]:
    """A watcher that is ended with the block."""
    made = Watch(folder, manifest, environ).start()
    try:
        yield made
    finally:
        if made.child and made.child.poll() is None:
            made.child.kill()
            made.child.wait()
        made.reader.join()


class Mailbox:
    """A mail server on loopback and what came to it."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, str]]:
    """A mailbox, and the address by which Apprise reaches it."""
    box = Mailbox()
    port, lock = hold(18800, fixed=False, name="mail")
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, f"mailto://127.0.0.1:{port}?from=watch@example.org&to=oncall@example.org&mode=insecure"
    finally:
        controller.stop()
        lock.close()
