"""What answers HTTP on loopback: the life of a fake, and the start of a real program."""

import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

_READY_WITHIN_S = 60.0


class Served:
    """Serves on a free port of loopback, in a thread, until its `with` block ends."""

    def serve(self, handler: type[BaseHTTPRequestHandler]) -> str:
        """Start, and return the address."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def await_answer(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is served."""
    ends = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < ends and child.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))
