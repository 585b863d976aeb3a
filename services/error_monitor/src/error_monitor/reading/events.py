"""The event of a joined record, redacted."""

import re
from collections.abc import Sequence
from dataclasses import replace

from error_monitor.reading import crashes, foreign, frames, languages, runtimes, structured, tracebacks
from error_monitor.reading.event import Event, Failure, Frame
from error_monitor.reading.headers import Header
from error_monitor.reading.line import Line
from error_monitor.reading.phases import Open
from error_monitor.reading.times import iso, within
from error_monitor.redaction import redact

TEXT_CHARS = 65_536
MESSAGE_CHARS = 20_000
LABEL_CHARS = 200
SPRING = re.compile(r"\s*\*{5,}\n(APPLICATION FAILED TO START)\n\*{5,}\s+Description:\s+")


def made(record: Open) -> Event:
    """The event of a record that ended."""
    lines = record.lines
    first = lines[0]
    failure = _failure(record)
    said, header = record.header or Header(None, ""), _header(record)
    numbers = sorted({number for line in lines for number in line.numbers})
    whole = _text(lines)
    text = redact(whole)
    if failure and (text != whole or isinstance(first.exception, Failure) or len(text) >= TEXT_CHARS):
        failure = _redacted(failure)
    return Event(
        first_line=numbers[0],
        last_line=numbers[-1],
        lines=tuple(numbers) if record.gaps else (),
        failure=failure,
        level=record.level or "error",
        header=redact(header[:MESSAGE_CHARS]) if header is not None else None,
        logger=_label(said.logger or first.logger),
        service=_label(first.service),
        worker=_label(first.worker or said.worker),
        request_id=_label(first.request_id),
        time=iso(first.time) or iso(said.time) or within(first.text),
        text=text,
        cut=failure is not None and failure.type is None and failure.message is None,
    )


def _label(text: str | None) -> str | None:
    """A name beside the message; a record of JSON may put anything there."""
    return redact(text[:LABEL_CHARS]) if text else None


def _header(record: Open) -> str | None:
    """Collect the record's text beside its exception: the message, with the lines that continue it."""
    if record.header is None:
        line = record.lines[0]
        return line.text if line.whole else None
    if record.traceback or record.crash:
        return record.header.message
    said = "\n".join([record.header.message, *(line.text for line in record.lines[1:])])
    if spring := SPRING.match(said):
        said = f"{spring[1]}: {said[spring.end() :]}"
    return said if record.header.message else said.strip()


def _failure(record: Open) -> Failure | None:
    """The exception of a record, from its text or from the fields of its JSON."""
    said = record.lines[0].exception
    if not record.traceback:
        return None if record.crash else _told(record)
    if isinstance(said, Failure):
        return said
    if isinstance(said, str):
        return _printed(said.rstrip("\n").split("\n"))
    if record.crash or record.phase in ("stack", "loose"):
        return _stacked(record, "\n".join(line.text for line in record.lines).split("\n"))
    lines = _inner(record)
    failure = tracebacks.read(lines) or foreign.read(lines)
    if failure and failure.type is None and record.header:
        return _named_above(failure, record.header, record.lines)
    return failure


def _told(record: Open) -> Failure | None:
    """The exception of a record without a traceback: AWS Lambda's object of JSON, or another language's stack."""
    if record.header and (at := record.header.message.find(structured.LAMBDA)) >= 0:
        return structured.of_json(record.header.message[at:])
    first = record.header.message if record.header and record.header.time else record.lines[0].text
    return _stacked(record, "\n".join([first, *(line.text for line in record.lines[1:])]).split("\n"))


def _stacked(record: Open, texts: Sequence[str]) -> Failure | None:
    """The crash of the table, or the stack of another language; where that has no name, the words above it count."""
    if row := record.crash or crashes.begun(texts[0]):
        return crashes.read(row, texts)
    if record.phase == "loose":
        return frames.read(texts)
    if record.phase == "stack" or len(texts) > 1:
        failure = foreign.read(texts)
        if failure is None:
            return frames.read(texts) or _named_below(texts)
    else:
        failure = languages.read(texts) or runtimes.read(texts)
    title = record.header.message if record.header else texts[0]
    if failure and failure.type is None and failure.frames and not foreign.framed(title):
        return replace(failure, message=title)
    return failure


def _named_below(texts: Sequence[str]) -> Failure | None:
    """The exception that the second line names."""
    below = foreign.NAMED.match(texts[1]) if len(texts) > 1 else None
    is_named = below and below["type"] and below["message"]
    return Failure(type=below["type"], message=below["message"]) if below and is_named else None


def _printed(lines: list[str]) -> Failure | None:
    """The exception that a field of a JSON record prints."""
    if any('File "' in text for text in lines):
        return tracebacks.read(lines) or foreign.read(lines)
    return foreign.read(lines) or tracebacks.read(lines)


def _named_above(failure: Failure, header: Header, lines: Sequence[Line]) -> Failure:
    """AWS Lambda prints `Type: message` before the traceback, not after it."""
    start = next((at for at, line in enumerate(lines) if tracebacks.opening(line.text)), 1)
    first = f"{header.logger}: {header.message}" if header.logger else header.message
    found = tracebacks.FAILURE.match("\n".join([first, *(line.text for line in lines[1:start])]))
    if found is None or found["message"] is None or not tracebacks.TYPELIKE.match(found["type"]):
        return failure
    return replace(failure, type=found["type"], message=found["message"])


def _inner(record: Open) -> list[str]:
    """The lines below the header. A traceback may begin in the header itself."""
    texts = [line.text for line in record.lines]
    if record.header is not None:
        found = tracebacks.START_WITHIN.search(record.header.message)
        texts[0] = found[0] if found else ""
    if record.call:
        texts[1] = texts[1][len(record.call) :]
    return texts


def _text(lines: Sequence[Line]) -> str:
    """The event as a person reads it, wrappers removed."""
    parts = []
    for line in lines:
        parts.append(line.text)
        if isinstance(line.exception, str):
            parts.append(line.exception.rstrip("\n"))
    text = "\n".join(parts)
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS // 2]}\n…\n{text[-TEXT_CHARS // 2 :]}"


def _redacted(failure: Failure) -> Failure:
    """A failure without secrets in its message or in the names of its files."""
    return replace(
        failure,
        type=_label(failure.type),
        message=redact(failure.message[:MESSAGE_CHARS]) if failure.message is not None else None,
        frames=tuple(_frame(frame) for frame in failure.frames),
        members=tuple(_redacted(member) for member in failure.members),
        cause=_redacted(failure.cause) if failure.cause else None,
    )


def _frame(frame: Frame) -> Frame:
    """A frame; only an odd file name can hold a secret."""
    return replace(frame, file=redact(frame.file), code=redact(frame.code) if frame.code else None)
