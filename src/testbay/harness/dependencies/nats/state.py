"""An account's JetStream as a file: streams, messages and consumers; key-value and object stores are streams.

A server's own backup would keep more (exact positions, times), but exists only for streams on disk, and secrets could
be neither found in it nor removed.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.nats.jetstream import Session, refusal_of
from testbay.harness.dependencies.state import ANSWER_LIMIT_S, Lines, Taken, from_json, read_lines, shown, to_json
from testbay.harness.dependencies.wire import Wire

FILE = "nats.jsonl"
LIMIT_BYTES = 10 << 20

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]

_ANSWER_BYTES = 8 << 20  # a message of 1 MB is a third longer in the API's answer
_NEWEST = 10_000  # messages of a stream
_FILLED = 2_000  # numbers that deleted messages left free
_SHOWN_MESSAGES = 100
# What would let messages disappear while a person looks at them, or refuse them when they come back.
_LIFTED: dict[str, Any] = {
    "max_age": 0,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "discard": "old",
    "discard_new_per_subject": False,
    "sealed": False,
    "no_ack": False,
    "deny_delete": False,
    "deny_purge": False,
    "num_replicas": 1,
    "duplicate_window": 0,
    "placement": None,
    "republish": None,
}
_FED = ("mirror", "sources", "subject_transform")  # what fills a stream other than publishing to its subjects
_CHECKED = ("nats-expected-", "nats-ttl", "nats-schedule")  # headers the server would act on again


def keep(endpoint: Endpoint) -> Taken:
    """Write each stream with its configuration, its consumers with their positions, and its newest messages."""
    left = 0
    with Wire(endpoint, ANSWER_LIMIT_S, limit_bytes=_ANSWER_BYTES) as wire:
        session, lines = Session(wire, endpoint), Lines(LIMIT_BYTES)

        def ask(subject: str, body: Mapping[str, Any]) -> dict[str, Any]:
            wire.within(ANSWER_LIMIT_S)
            return session.request(subject, body)

        for stream in list(_pages(ask, "$JS.API.STREAM.LIST", "streams")):
            name = stream["config"]["name"]
            lines.write({"stream": stream["config"], "state": stream["state"]})
            for consumer in _pages(ask, f"$JS.API.CONSUMER.LIST.{name}", "consumers"):
                lines.write({"consumer": consumer})
            left += int(stream["state"]["messages"])
            for message in _messages(ask, name, stream["state"]):
                left -= lines.write(_entry(message))
                if lines.late:
                    break
    return Taken(lines.text(), f"{left} messages" if left > 0 else "")


def _pages(ask: Ask, subject: str, what: str) -> Iterator[dict[str, Any]]:
    seen = 0
    while True:
        answer = ask(subject, {"offset": seen})
        page = answer.get(what) or []
        yield from page
        seen += len(page)
        if not page or seen >= int(answer.get("total", 0)):
            return


def _messages(ask: Ask, stream: str, state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The newest messages, in order; the server skips sequence numbers that are gone."""
    last = int(state["last_seq"])
    number = max(int(state["first_seq"]), last - _NEWEST + 1)
    while state["messages"] and number <= last:
        answer = ask(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": number, "next_by_subj": ">"})
        if "message" not in answer:
            return
        yield answer["message"]
        number = int(answer["message"]["seq"]) + 1


def _entry(message: Mapping[str, Any]) -> dict[str, Any]:
    headers = base64.b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n")[1:]
    return {
        "seq": message["seq"],
        "time": message["time"],
        "subject": message["subject"],
        "headers": [line for line in headers if line],
        "data": to_json(base64.b64decode(message.get("data", ""))),
    }


def restore(endpoint: Endpoint, file: Path) -> list[str]:
    """Restore streams without limits, messages under their sequence numbers, durable consumers at their positions."""
    refused: list[str] = []
    filling: _Filling | None = None

    def put(fact: Mapping[str, Any]) -> None:
        nonlocal filling
        if "stream" in fact:
            filling = None  # if this is refused, skip all that belongs to it
            filling = _Filling(session, fact["stream"], fact["state"])
        elif filling is not None and "consumer" in fact:
            filling.consumer(fact["consumer"])
        elif filling is not None and "end" in fact:
            filling.end()
        elif filling is not None:
            filling.message(fact)

    with Wire(endpoint, ANSWER_LIMIT_S, limit_bytes=_ANSWER_BYTES) as wire:
        session = Session(wire, endpoint)
        for fact in _with_ends(read_lines(file)):
            wire.within(ANSWER_LIMIT_S)
            try:
                put(fact)
            except _RefusedError as error:
                refused.append(str(error))
    return refused


def _with_ends(facts: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the facts, with an end mark after the last fact of each stream."""
    for number, fact in enumerate(facts):
        if number and "stream" in fact:
            yield {"end": True}
        yield fact
    yield {"end": True}


class _RefusedError(Exception):
    """One item cannot be restored; the others can."""


class _Filling:
    """One stream while it is being restored."""

    def __init__(self, session: Session, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        self._session = session
        self._name = _word(config["name"])
        self._first = int(state["first_seq"])
        self._last = 0
        self._in_step = True
        self._fillers: list[int] = []
        self._config = {**config, **_LIFTED}
        self._of_a_subject = config.get("max_msgs_per_subject", -1)
        self._workqueue = config.get("retention") == "workqueue"
        self._subjects = [_word(subject) for subject in config.get("subjects") or ()]
        if fed := [name for name in _FED if config.get(name)]:
            raise _RefusedError(f"stream {shown(self._name)}: it has {fed[0]}; `testbay open TEST nats` shows it")
        self._ask(f"$JS.API.STREAM.CREATE.{self._name}", self._config, f"stream {self._name}")

    def _begin_at(self, number: int) -> None:
        """Let the empty stream begin at a sequence number: a purged stream continues where the purge ended."""
        if number > 1:
            self._ask(f"$JS.API.STREAM.PURGE.{self._name}", {"seq": number}, f"stream {self._name}")
            self._last = number - 1

    def _ask(self, subject: str, body: Mapping[str, Any], what: str) -> dict[str, Any]:
        answer = self._session.request(subject, body)
        if refusal := refusal_of(answer):
            raise _RefusedError(f"{shown(what)}: {shown(refusal)}")
        return answer

    def consumer(self, info: Mapping[str, Any]) -> None:
        """Create a consumer before the messages: an interest-based stream drops messages that no consumer waits for."""
        config = dict(info["config"])
        if not config.get("durable_name"):
            raise _RefusedError(f"consumer {shown(info['name'])}: not durable; `testbay open TEST nats` shows it")
        if not self._workqueue:  # a work queue drops acknowledged messages, and allows only this policy
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": int(info["ack_floor"]["stream_seq"]) + 1}
            config.pop("opt_start_time", None)
        name = _word(config["durable_name"])
        body = {"stream_name": self._name, "config": config}
        self._ask(f"$JS.API.CONSUMER.DURABLE.CREATE.{self._name}.{name}", body, f"consumer {name}")

    def message(self, fact: Mapping[str, Any]) -> None:
        """Publish a message under its old sequence number, after fillers for missing numbers before it."""
        number, subject = int(fact["seq"]), _word(fact["subject"])
        if not any(_matches(subject, known) for known in self._subjects):
            raise _RefusedError(f"message {number} of {shown(self._name)}: {shown(subject)} is not one of its subjects")
        if not self._last:
            self._begin_at(number)
        missing = range(self._last + 1, number)
        if len(missing) + len(self._fillers) <= _FILLED:
            self._fillers += [self._publish(subject, b"", []) for _ in missing]
        headers = [line for line in fact["headers"] if not line.lower().startswith(_CHECKED)]
        self._last = self._publish(subject, from_json(fact["data"]), headers)
        if self._last != number and self._in_step:
            self._in_step = False
            raise _RefusedError(f"numbers of {shown(self._name)}: from message {number} on, which is {self._last} here")

    def _publish(self, subject: str, data: bytes, headers: list[str]) -> int:
        lines = [f"{_line(line)}\r\n" for line in headers]
        block = "".join(["NATS/1.0\r\n", *lines, "\r\n"]).encode() if lines else b""
        answer = self._session.answer(self._session.publish(subject, data, block))
        if refusal := refusal_of(answer):
            raise _RefusedError(f"a message of {shown(self._name)}: {shown(refusal)}")
        return int(answer["seq"])

    def end(self) -> None:
        """Delete the fillers, and restore the stream's limit of messages per subject."""
        if not self._last:
            self._begin_at(self._first)
        for number in self._fillers:
            self._session.request(f"$JS.API.STREAM.MSG.DELETE.{self._name}", {"seq": number, "no_erase": True})
        # This limit makes a stream a key-value store. Set earlier, it would have counted the fillers.
        if self._of_a_subject > 0:
            config = {**self._config, "max_msgs_per_subject": self._of_a_subject}
            self._ask(f"$JS.API.STREAM.UPDATE.{self._name}", config, f"stream {self._name}")


def _word(text: str) -> str:
    """Return a name or subject that is safe in the protocol."""
    if not re.fullmatch(r"[^\s\x00-\x20\x7f]{1,1000}", text):
        raise ValueError(f"{text[:80]!r} is not a name or subject")
    return text


def _line(text: str) -> str:
    if re.search(r"[\r\n]", text):
        raise ValueError(f"{text[:80]!r} is not a header")
    return text


def _matches(subject: str, pattern: str) -> bool:
    words, wanted = subject.split("."), pattern.split(".")
    if wanted[-1] == ">":
        words, wanted = words[: len(wanted) - 1], wanted[:-1] if len(words) >= len(wanted) else ["."]
    return len(words) == len(wanted) and all(want in ("*", word) for word, want in zip(words, wanted, strict=True))


def view(file: Path) -> Iterator[str]:
    """Streams, consumers and messages as lines for a reader."""
    shown_messages, hidden = 0, 0
    for fact in read_lines(file):
        if "stream" in fact:
            yield from _more(hidden)
            shown_messages, hidden = 0, 0
            yield _stream_line(fact["stream"], fact["state"])
        elif "consumer" in fact:
            yield _consumer_line(fact["consumer"])
        elif shown_messages < _SHOWN_MESSAGES:
            shown_messages += 1
            headers = f"  {shown(', '.join(fact['headers']))}" if fact["headers"] else ""
            time = shown(fact["time"])
            yield f"  #{int(fact['seq'])}  {time}  {shown(fact['subject'])}{headers}  {shown(fact['data'])}"
        else:
            hidden += 1
    yield from _more(hidden)


def _more(hidden: int) -> list[str]:
    return [f"  … {hidden} messages more in {FILE}"] if hidden else []


def _stream_line(config: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    subjects = shown(", ".join(config.get("subjects") or ()))
    numbers = f"#{int(state['first_seq'])} to #{int(state['last_seq'])}"
    messages = f"{int(state['messages'])} messages"
    kept = shown(f"{config.get('retention')}, {config.get('storage')}")
    return f"stream {shown(config['name'])}  {subjects}  ({kept})  {messages}, {numbers}"


def _consumer_line(info: Mapping[str, Any]) -> str:
    delivered, acknowledged = int(info["delivered"]["stream_seq"]), int(info["ack_floor"]["stream_seq"])
    waiting = f"{int(info['num_ack_pending'])} not acknowledged yet, {int(info['num_pending'])} not delivered yet"
    return f"  consumer {shown(info['name'])}  delivered to #{delivered}, acknowledged to #{acknowledged}; {waiting}"
