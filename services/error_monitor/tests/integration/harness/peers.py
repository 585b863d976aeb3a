"""Loki and Railway on loopback: real HTTP, each held to the limits that its documentation names."""

import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

SECOND_NS = 1_000_000_000
Answer = tuple[int, str | bytes]


class Peer:
    """A server; `next` are answers that come instead of the right one, `broken` ends each answer half way."""

    def __init__(self) -> None:
        self.next: list[Answer] = []
        self.broken = False
        self.asked: list[dict[str, Any]] = []
        self.headers: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request."""
        self.headers = headers
        return self.next.pop(0) if self.next else self.answer(method, target, body)

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        raise NotImplementedError


class Loki(Peer):
    """`query_range` as documented: `start` included, `end` excluded, at most 5 000 lines, the newest first by default,
    no pages, one tenant's lines only.
    """

    CAP = 5000

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, list[tuple[int, str]]] = {}
        self.longest_ns = 721 * 3600 * SECOND_NS
        self.tenant = ""

    @property
    def environ(self) -> dict[str, str]:
        """What leads a monitor here."""
        return {"LOKI_ENABLED": "true", "LOKI_URL": self.url, "LOKI_QUERY": '{app=~".+"}', "LOG_FILES": ""}

    def push(self, time_ns: int, line: str, **labels: str) -> None:
        """A line of the stream with these labels."""
        self.streams.setdefault(json.dumps(labels or {"app": "shop"}, sort_keys=True), []).append((time_ns, line))

    def answer(self, method: str, target: str, body: bytes) -> Answer:  # noqa: ARG002
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(asked)
        if (method, parts.path) != ("GET", "/loki/api/v1/query_range"):
            return 404, "404 page not found"
        if self.headers.get("x-scope-orgid", "") != self.tenant:
            return 401, "no org id"
        start, end, limit = int(asked["start"]), int(asked["end"]), int(asked.get("limit", 100))
        if end < start:
            return 400, "end timestamp must not be before or equal to start time"
        if limit > self.CAP:
            return (
                400,
                f"max entries limit per query exceeded, limit > max_entries_limit ({limit} > {self.CAP})",
            )
        if end - start > self.longest_ns:
            return 400, "the query time range exceeds the limit (query length: 2h, limit: 1h)"
        found = [
            (time, line, labels)
            for labels, lines in self.streams.items()
            for time, line in lines
            if start <= time < end
        ]
        forward = asked.get("direction", "backward") == "forward"
        found = sorted(found, key=lambda one: one[0] if forward else -one[0])[:limit]
        streams: dict[str, list[list[str]]] = {}
        for time, line, labels in found:
            streams.setdefault(labels, []).append([str(time), line])
        result = [{"stream": json.loads(labels), "values": values} for labels, values in streams.items()]
        return 200, json.dumps({"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}})


class Railway(Peer):
    """The two questions of Railway's public API that we ask: deployments, and the logs of one."""

    TOKEN = "0f0f0f0f-project-token"

    def __init__(self) -> None:
        super().__init__()
        self.deployments: list[dict[str, str]] = []
        self.lines: dict[str, list[tuple[int, str]]] = {}
        self.violations: list[str] = []

    @property
    def environ(self) -> dict[str, str]:
        """What leads a monitor here."""
        return {
            "RAILWAY_API_URL": f"{self.url}/graphql/v2",
            "RAILWAY_TOKEN": self.TOKEN,
            "RAILWAY_ENVIRONMENT_ID": "env-1",
            "LOG_FILES": "",
        }

    def deploy(self, name: str, service: str = "shop") -> None:
        """A deployment, newer than those before."""
        self.deployments.insert(0, {"id": name, "serviceId": service, "status": "SUCCESS", "createdAt": "2026-01-01"})
        self.lines[name] = []

    def answer(self, method: str, target: str, body: bytes) -> Answer:  # noqa: ARG002
        asked = json.loads(body)
        self.asked.append(asked)
        is_allowed = self.headers.get("project-access-token") == self.TOKEN
        is_allowed = is_allowed or self.headers.get("authorization") == f"Bearer {self.TOKEN}-account"
        if not is_allowed:
            return 200, json.dumps({"errors": [{"message": "Not Authorized"}], "data": None})
        given = asked["variables"]
        if "deploymentLogs(" in asked["query"]:
            return self._logs(given)
        wanted = given["input"]
        if wanted["environmentId"] != "env-1" or not set(wanted) <= {"environmentId", "serviceId", "status"}:
            self.violations.append(json.dumps(wanted))
        edges = [
            {"node": one} for one in self.deployments if one["serviceId"] == wanted.get("serviceId", one["serviceId"])
        ]
        return 200, json.dumps({"data": {"deployments": {"edges": edges[: given["first"]]}}})

    def _logs(self, given: Mapping[str, Any]) -> Answer:
        start, end = _nanoseconds(given["startDate"]), _nanoseconds(given["endDate"])
        found = [one for one in self.lines[given["deploymentId"]] if start <= one[0] <= end]
        newest = found[-given["limit"] - 1 :]  # one more than was asked for, as Railway does
        logs = [{"timestamp": _date(time), "message": text, "severity": "error"} for time, text in newest]
        return 200, json.dumps({"data": {"deploymentLogs": logs}})


def _nanoseconds(text: str) -> int:
    matched = re.fullmatch(r"(.*)\.(\d{1,9})Z", text)
    assert matched, text
    return int(datetime.fromisoformat(f"{matched[1]}+00:00").timestamp()) * SECOND_NS + int(matched[2].ljust(9, "0"))


def _date(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


class _Server(ThreadingHTTPServer):
    """A server whose threads coverage does not watch: nothing of the monitor runs in them."""

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        sys.settrace(None)
        super().serve_forever(poll_interval)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        sys.settrace(None)
        super().process_request_thread(request, client_address)


def _handler(peer: Peer) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = peer.handle(self.command, self.path, headers, body)
            content = said.encode() if isinstance(said, str) else said
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # the one who asked was killed, or has waited enough
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if peer.broken else content)
            self.close_connection = peer.broken

        do_GET = do_POST = _do

        def log_message(self, *_: object) -> None:
            """What came is in `asked`."""

    return Handler
