"""Hostile bytes to one clean, bounded line of text."""

import re
from pathlib import Path

LINE_CHARS = 1_000_000
"""What is kept of one physical line; JSON records with long tracebacks stay whole."""

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]_P^X][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh", b"PK\x03\x04")
"""How a file of gzip, zstd, xz, bzip2 or zip begins."""


def packed(path: Path) -> str:
    """Say that a file is compressed, and what to do; an empty text of any other, also of a pipe."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        is_packed = file.read(6).startswith(PACKED)
    return f"{path} is compressed: unpack it first" if is_packed else ""


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
