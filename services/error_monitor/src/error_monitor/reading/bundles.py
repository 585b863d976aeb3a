"""Lines that hold several records, as OpenTelemetry, CloudWatch and Azure export them, and rows of a CSV."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from error_monitor.reading.line import Line

OPENINGS = ('{"resourceLogs":', '{"messageType":')
LIST = re.compile(r'\{"\w{1,30}": ?\[\{')
"""One list of objects is a bundle, whatever its name."""
ROW = re.compile(
    r"(?:(?P<epoch>\d{13})|(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}))(?(time),(?P<quote>\")|,(?P<may>\")?)"
)
"""A row of CloudWatch's exports: a time, and the message."""


def unpacked(text: str) -> list[str]:
    """The records of a line that is a bundle, each as JSON; else the line itself."""
    if text[:1] != "{" or not (text.startswith(OPENINGS) or ("[{" in text[:40] and LIST.match(text))):
        return [text]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return [json.dumps(record) for record in _records(found)] or [text]


def _records(bundle: Any) -> Iterator[Mapping[str, Any]]:
    """Every record, with what its bundle says of all of them."""
    for one in _objects(bundle.get("resourceLogs")):
        resource = one.get("resource")
        for scope in _objects(one.get("scopeLogs")):
            for record in _objects(scope.get("logRecords")):
                yield {**record, "resource": resource.get("attributes") if isinstance(resource, dict) else None}
    if "logEvents" in bundle or len(bundle) == 1:
        yield from _objects(bundle.get("logEvents", next(iter(bundle.values()))))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


POSTGRES = re.compile(r"\d{4}-\d\d-\d\d [\d:.]+ [A-Z]+,(?:\"[^\"]*\")?,(?:\"[^\"]*\")?,\d+,")
POSTGRES_LEVEL, POSTGRES_SAID = 11, 13
"""The columns of PostgreSQL's csvlog."""


def unquoted(line: Line, *, inside: bool) -> bool:
    """Take a row of a CSV, or its next line, as it was before the export; tell whether the message goes on."""
    begins = None if inside else ROW.match(line.text)
    if begins:
        line.time = begins["epoch"] or begins["time"]
        line.text = line.text[begins.end() :]
        inside = bool(begins["quote"] or begins["may"])
    elif not inside and POSTGRES.match(line.text):
        return _postgres(line)
    if not inside:
        return False
    closes = line.text.count('"') % 2 == 1
    line.text = (line.text[:-1] if closes and line.text.endswith('"') else line.text).replace('""', '"')
    return not closes


def _postgres(line: Line) -> bool:
    """Take a row of PostgreSQL's csvlog as what the plain log says; tell whether a value goes on in the next line."""
    is_open = line.text.count('"') % 2 == 1
    row = next(csv.reader([line.text + '"' * is_open]))
    if len(row) > POSTGRES_SAID:
        line.text = f"{row[0]} {row[POSTGRES_LEVEL]}:  {row[POSTGRES_SAID]}"
    return is_open
