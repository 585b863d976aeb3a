"""Repositories as GitHub serves them: git's own server program, with a door that asks a job's token for its rights."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.system.fakes.fake_github import Reply

Git = Callable[[str, str, dict[str, str], bytes], Reply | None]


def serve(root: Path, name: str, allows: Callable[[str, str, str], bool]) -> Git:
    """A bare repository below `root`, at `/name`. Fetching needs `contents: read`, pushing `contents: write`."""

    def answer(method: str, target: str, headers: dict[str, str], body: bytes) -> Reply | None:
        parts = urlsplit(target)
        if not parts.path.startswith(f"/{name}/"):
            return None
        level = "write" if "git-receive-pack" in target else "read"
        if not allows(_password(headers.get("authorization", "")), "contents", level):
            return Reply(403, "Permission to it was denied to github-actions[bot].")
        environ = {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "github-actions[bot]",  # git lets nobody push whom it does not know
            "REQUEST_METHOD": method,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=True)
        return _reply(done.stdout)

    return answer


def _password(header: str) -> str:
    """Of `basic x-access-token:…`, in whichever case."""
    kind, _, rest = header.partition(" ")
    return base64.b64decode(rest).decode().partition(":")[2] if kind.lower() == "basic" else ""


def _reply(raw: bytes) -> Reply:
    """As a CGI program answers: headers, an empty line, the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.pop("Status", "200 OK").split()[0])
    return Reply(status, body.decode(errors="surrogateescape"), headers)
