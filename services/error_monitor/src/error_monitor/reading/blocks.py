"""Records that are spread over several lines, and whose own grammar says where they end: XML, and objects of JSON."""

from dataclasses import replace

from error_monitor.reading import markup, records
from error_monitor.reading.line import Line

LINES = 400
STREAM = "\x00block"
"""What marks the stream of a record whose end was not seen yet."""


def begins(text: str) -> bool:
    """Return whether a line begins such a record."""
    if text[:1] == "{":
        return text == "{" or (text.startswith('{"') and text.rstrip().endswith(","))
    return text.startswith("<") and markup.begins(text) is not None


def goes_on(block: str, text: str) -> bool:
    """Return whether a line may stand inside: an object's fields are indented, or begin with a quote."""
    if not block.startswith("{"):
        return True
    return not text or text[0] in " \t}" or (text[0] == '"' and block.startswith('{"'))


def ended(block: str, text: str) -> bool:
    """Return whether a line is the last one."""
    if block.startswith("{"):
        return text.rstrip() == "}" or (block.startswith('{"') and text.rstrip().endswith("}"))
    return markup.ends(markup.begins(block) or "", text)


def read(line: Line) -> bool:
    """Read a record that is complete into its line; False where it has no level, so that it is only text."""
    if line.text.startswith("<"):
        return markup.read(line, line.text)
    probe = replace(line, text=line.text.replace("\n", ""))
    if not records.unwrap(probe, set()) or probe.level is None:
        return False
    line.text, line.level, line.time, line.logger, line.service = (
        probe.text,
        probe.level,
        probe.time,
        probe.logger,
        probe.service,
    )
    line.request_id, line.exception, line.whole = probe.request_id, probe.exception, True
    return True
