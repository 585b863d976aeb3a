"""Hostile bytes to one clean, bounded line of text."""

import re

LINE_CHARS = 1_000_000
"""What is kept of one physical line; JSON records with long tracebacks stay whole."""

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def clean(raw: str | bytes) -> str:
    """Decode a line and drop its end, NUL bytes, colours and a byte order mark. Broken UTF-8 becomes U+FFFD."""
    if isinstance(raw, bytes):
        raw = raw[: LINE_CHARS + 2].decode("utf-8", "replace")
    text = raw[: LINE_CHARS + 2].rstrip("\r\n")[:LINE_CHARS]
    if "\x00" in text:
        text = text.replace("\x00", "")
    if "#033[" in text:  # rsyslog's spelling
        text = text.replace("#033[", "\x1b[")
    if "\x1b" in text:
        text = ESCAPES.sub("", text)
    return text.removeprefix("\ufeff")


def pieces(text: str) -> tuple[str, ...] | list[str]:
    """The lines that one physical line holds: AWS Lambda separates them with carriage returns."""
    if "\r" not in text:
        return (text,)
    return text.replace("\r\n", "\n").replace("\xa0", " ").replace("\r", "\n").split("\n")
