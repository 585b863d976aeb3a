"""JetStream's API: creating the manifest's streams, and the session that sends the requests."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from testbay.harness.dependencies.endpoint import Endpoint, RefusedError
from testbay.harness.dependencies.wire import Wire

_LIMIT_S = 30.0  # for all streams of a call


def create_streams(endpoint: Endpoint, streams: Sequence[Mapping[str, Any]]) -> None:
    """Create each stream, unless it already exists with the same configuration.

    Args:
        endpoint: A ready server.
        streams: name, subjects, retention, storage, max_age_s, duplicate_window_s.

    Raises:
        OSError: The server refused one; the text names it and gives the server's reason.
    """
    with Wire(endpoint, _LIMIT_S) as wire:
        session = Session(wire, endpoint)
        for stream in streams:
            create_stream(session, stream)


def create_stream(session: "Session", stream: Mapping[str, Any]) -> None:
    """Create one stream in an open session.

    Raises:
        OSError: The server refused.
    """
    answer = session.request(f"$JS.API.STREAM.CREATE.{stream['name']}", _stream_config(stream))
    if refusal := refusal_of(answer):
        raise OSError(f"stream {stream['name']}: {refusal}")


def delete_stream(session: "Session", name: str) -> None:
    """Delete a stream with its messages and consumers.

    Raises:
        OSError: The server refused.
    """
    if refusal := refusal_of(session.request(f"$JS.API.STREAM.DELETE.{name}", {})):
        raise OSError(f"stream {name}: {refusal}")


def refusal_of(answer: dict[str, Any]) -> str:
    """Return JetStream's reason for refusing; empty if it did not refuse."""
    error = answer.get("error")
    return str(error.get("description", error) if isinstance(error, dict) else error or "")


def _stream_config(stream: Mapping[str, Any]) -> dict[str, Any]:
    """The stream in the API's own field names, with durations in nanoseconds."""
    return {
        "name": stream["name"],
        "subjects": list(stream["subjects"]),
        "retention": stream["retention"],
        "storage": stream["storage"],
        "max_age": int(stream["max_age_s"] * 1e9),
        "duplicate_window": int(stream["duplicate_window_s"] * 1e9),
        "discard": "old",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "num_replicas": 1,
    }


class UnansweredError(OSError):
    """Nothing on the server answers requests on that subject."""


class Session:
    """A connection that sends requests and waits: a dozen lines of NATS' text protocol.

    nats-py needs an event loop, and takes longer to import than the whole start does: tests and services use it,
    testbay does not.
    """

    def __init__(self, wire: Wire, endpoint: Endpoint, watched: str = "") -> None:
        self._wire = wire
        self.heard = 0  # messages on the watched subject
        hello = wire.line()
        if not hello.startswith(b"INFO "):
            raise RefusedError(f"it does not speak NATS' protocol: it said {hello[:80]!r}")
        self.info = _object(hello[5:])
        options: dict[str, Any] = {"verbose": False, "pedantic": False, "lang": "testbay", "version": "1"}
        options |= {"headers": True, "no_responders": True}
        if endpoint.user:
            options |= {"user": endpoint.user, "pass": endpoint.password}
        elif endpoint.password:
            options |= {"auth_token": endpoint.password}
        # An inbox of its own: several of us may be in one account, and would receive each other's answers.
        self._inbox = b"_INBOX.testbay." + os.urandom(8).hex().encode()
        self._asked = 0
        watch = b"SUB %s 2\r\n" % watched.encode() if watched else b""
        wire.send(b"CONNECT %s\r\nSUB %s.* 1\r\n%sPING\r\n" % (json.dumps(options).encode(), self._inbox, watch))
        self._until(b"PONG")

    def request(self, subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.answer(self.ask(subject, body))

    def ask(self, subject: str, body: Mapping[str, Any]) -> bytes:
        """Send a request; return the inbox to pass to `answer`."""
        return self.publish(subject, json.dumps(body).encode())

    def publish(self, subject: str, data: bytes, headers: bytes = b"") -> bytes:
        """Send bytes as a request, with raw `headers`; return the inbox of the answer."""
        self._asked += 1
        inbox = b"%s.%d" % (self._inbox, self._asked)
        head = b"%s %s " % (subject.encode(), inbox)
        if headers:
            size = b"HPUB %s%d %d" % (head, len(headers), len(headers) + len(data))
        else:
            size = b"PUB %s%d" % (head, len(data))
        self._wire.send(b"%s\r\n%s%s\r\n" % (size, headers, data))
        return inbox

    def answer(self, inbox: bytes) -> dict[str, Any]:
        """Receive the answer to a request by its inbox."""
        while True:  # an answer that came too late for an earlier question is left aside
            words = self._until(b"MSG ", b"HMSG ").split()
            raw = self._wire.exactly(int(words[-1]) + 2)
            if words[1] == inbox:
                break
            self.heard += words[2:3] == [b"2"]  # a line may be cut short
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        if headers and b" 503" in raw[:headers]:
            raise UnansweredError("JetStream is not enabled, or not up yet")
        return _object(raw[headers:])

    def _until(self, *starts: bytes) -> bytes:
        while True:
            line = self._wire.line()
            if line.startswith(starts):
                return line
            if line.startswith(b"-ERR"):
                said = line[4:].decode(errors="replace").strip(" '")
                raise RefusedError(said) if said.startswith(("Authorization", "Permissions")) else OSError(said)
            if line.startswith(b"PING"):
                self._wire.send(b"PONG\r\n")


def _object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object; anything else is an OSError."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise OSError(f"no JSON object: it said {data[:80]!r}")
    return answer
