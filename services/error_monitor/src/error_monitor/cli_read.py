"""The commands that read a log file: group, explain."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from error_monitor.patterns.classify import classify
from error_monitor.patterns.fingerprint import Fingerprint, fingerprint
from error_monitor.reading.event import Event
from error_monitor.reading.reader import Reader
from error_monitor.reading.text import clean, packed
from error_monitor.redaction import redact

BATCH_LINES = 2000
LINE_BYTES = 1_000_000


def add(commands: Any) -> None:
    """Add the commands to the parser's subcommands."""
    group = commands.add_parser("group", help="print every error event of a log file, one JSON object a line")
    group.add_argument("--jsonl", action="store_true", help="JSON lines (the only format)")
    group.add_argument("--each-line", action="store_true", help="take every line as an event: plain messages")
    group.add_argument("file", type=Path, help="a log file")
    group.set_defaults(run=_group)
    explain = commands.add_parser("explain", help="say why an event is its pattern, or why two are one or two")
    explain.add_argument("places", nargs="+", metavar="FILE:LINE", help="a line of an event; two places are compared")
    explain.set_defaults(run=_explain)


def _group(args: argparse.Namespace) -> int:
    if not args.file.exists() or args.file.is_dir():  # a pipe is read as it comes: /dev/stdin, say
        return _refuse(f"group: no such file: {args.file}")
    if why := packed(args.file):
        return _refuse(f"group: {why}")
    for event in _lines(args.file) if args.each_line else events(args.file):
        sys.stdout.write(json.dumps(_row(event), ensure_ascii=False) + "\n")
    return 0


def events(path: Path) -> Iterator[Event]:
    """The error events of a file."""
    reader = Reader()
    with path.open("rb") as file:
        physical = bounded(file)
        while lines := list(islice(physical, BATCH_LINES)):
            yield from reader.feed(lines)
    yield from reader.flush()


def bounded(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of a line without end, only its beginning comes into memory."""
    while line := file.readline(LINE_BYTES):
        yield line
        while len(line) == LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES)


def _lines(path: Path) -> Iterator[Event]:
    """Every line of a file as an event of its own."""
    with path.open("rb") as file:
        for number, line in enumerate(bounded(file), 1):
            text = redact(clean(line))
            yield Event(first_line=number, last_line=number, header=text, text=text)


def _row(event: Event) -> dict[str, Any]:
    judged = classify(event)
    row: dict[str, Any] = {
        "first_line": event.first_line,
        "last_line": event.last_line,
        "fingerprint": fingerprint(event).key,
        "type": event.type,
        "message": event.message,
        "frames": [
            {"file": frame.file, "function": frame.function, "line": frame.line, "in_app": frame.in_app}
            for frame in event.frames
        ],
        "level": event.level,
        "category": judged.category,
        "severity": judged.severity,
    }
    if event.lines:
        row["lines"] = list(event.lines)
    if event.service:
        row["service"] = event.service
    return row


def _explain(args: argparse.Namespace) -> int:
    if len(args.places) > 2:
        return _refuse("explain: one or two places FILE:LINE")
    found: list[tuple[str, Event]] = []
    for place in args.places:
        event = _at(place)
        if isinstance(event, str):
            return _refuse(f"explain: {event}")
        found.append((place, event))
    names = [fingerprint(event) for _, event in found]
    for (place, event), name in zip(found, names, strict=True):
        sys.stdout.write(_explained(place, event, name))
    if len(names) == 2:
        sys.stdout.write(_compared(*names))
    return 0


def _at(place: str) -> Event | str:
    """The event at FILE:LINE, or what is wrong with the place."""
    name, _, number = place.rpartition(":")
    if not name or not number.isdigit():
        return f"not a place FILE:LINE: {place}"
    path = Path(name)
    if not path.is_file():
        return f"no such file: {name}"
    if why := packed(path):
        return why
    line = int(number)
    for event in events(path):
        if line in event.lines or (not event.lines and event.first_line <= line <= event.last_line):
            return event
    return f"line {line} of {name} belongs to no error event"


def _explained(place: str, event: Event, name: Fingerprint) -> str:
    judged = classify(event)
    rows = [
        ("pattern", f"{name.key}  {name.reason}"),
        ("lines", f"{event.first_line}-{event.last_line}"),
        ("type", event.type or "no exception"),
        ("message", (event.message or "").split("\n")[0][:200]),
        ("category", f"{judged.category}, {judged.severity}: {judged.reason}"),
        ("hashed", " | ".join(part.replace("\1", " ") for part in name.parts)),
    ]
    return f"{place}\n" + "".join(f"  {label:<9} {_shown(value)}\n" for label, value in rows)


def _shown(text: str) -> str:
    """A text of a log, without what a terminal would obey."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _compared(one: Fingerprint, two: Fingerprint) -> str:
    if one.key == two.key:
        return "one pattern: every part that is hashed is the same\n"
    pairs = [(a, b) for a, b in zip(one.parts, two.parts, strict=False) if a != b]
    if not pairs:
        return "two patterns: one has a cause that the other has not\n"
    return "two patterns: " + "; ".join(f"{a!r} is not {b!r}" for a, b in pairs) + "\n"


def _refuse(reason: str) -> int:
    sys.stderr.write(f"error-monitor {reason}\n")
    return 2
