"""What answers on loopback: a server in a thread, the handler of a fake, a real program that was started."""

import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import httpx

_READY_WITHIN_S = 60.0
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Handler(BaseHTTPRequestHandler):
    """Answers each request whole, and prints nothing."""

    wbufsize = -1  # an answer in one piece: in two, the second waits 40 ms for the first to be acknowledged

    def body(self) -> bytes:
        """What came with the request."""
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def reply(self, status: int, content: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS) -> None:
        """Answer with its length."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """A fake keeps itself what it was asked for."""


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[int]:
    """Have it serve until the block ends; its port."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on a free port until the block ends; the address."""
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}"


class Served:
    """A fake that serves until its own `with` block ends."""

    def serve(self, handler: type[BaseHTTPRequestHandler]) -> str:
        """Start, and return the address."""
        self._serving = serving(handler)
        return self._serving.__enter__()

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)


def await_answer(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is served."""
    ends = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < ends and child.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))
