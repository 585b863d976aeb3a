"""Secrets in every readable form: masking them in texts, and finding them in files."""

import base64
import fnmatch
import functools
import gzip
import html
import json
import quopri
import re
import urllib.parse
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

SHORTEST = 8  # characters, blanks aside; of anything shorter a text may hold a copy by chance
MASK = "***"
_DOTS = "..."
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_GROUPS_BYTES = 8  # of base85: two groups, ten characters
_TELLING = 4  # fewer characters say nothing
_CHUNK_BYTES = 1 << 20
_UNPACKED_BYTES = 4 << 30  # of one compressed file; who looks for more is led astray by it
_NESTED = 2  # an archive in an archive; what is packed deeper is searched as it is
_BLANKS = b" \t\r\n\0"  # with the zero bytes go the second halves of UTF-16


@functools.lru_cache(64)  # one text after the other is masked with the same few values
def forms(value: str) -> frozenset[str]:
    """List the forms of a value that a reader, or a one-line program, could turn back into it or one of its lines.

    As it is, in upper and lower case, reversed, as numbers, in base32, base64 and base85 (all alphabets, at any offset
    in a longer text), quoted as in URLs, JSON, XML, SQL and Python. A value or line that is too short has none.
    """
    wholes = {value, value.strip(), *(line.strip() for line in value.splitlines())}
    return frozenset(form for whole in wholes if long_enough(whole) for form in _written(whole))


def values_of(names: Iterable[str], environ: Mapping[str, str]) -> list[str]:
    """List the values of secrets in the environment; a name with a star matches several variables."""
    return [environ[name] for pattern in names for name in fnmatch.filter(environ, pattern) if environ[name]]


def long_enough(value: str) -> bool:
    """Return whether a value differs from ordinary text: it has at least eight non-blank characters."""
    return len("".join(value.split())) >= SHORTEST


def _written(text: str) -> Iterator[str]:
    raw = text.encode(errors="surrogateescape")
    yield text
    yield text[::-1]
    yield from (other for other in (text.upper(), text.lower()) if other != text)
    yield from _digits(raw)
    yield from _base64(raw)
    yield from _base32(raw)
    yield from _base85(raw)
    yield from _quoted(text, raw)


def _digits(raw: bytes) -> Iterator[str]:
    """Write each byte as a number, as URLs, programs, JSON, HTML, mails and dumps do, hex digits in both cases."""
    for digits in (raw.hex(), raw.hex().upper()):
        yield digits
        pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
        yield from (":".join(pairs), " ".join(pairs))
        yield from ("".join(f"{before}{pair}" for pair in pairs) for before in ("%", "\\x", "\\u00"))
        yield from ("0x" + between.join(pairs) for between in (",0x", ", 0x"))
        yield "&#x" + ";&#x".join(pairs)
    yield from (between.join(map(str, raw)) for between in (",", ", ", ";&#"))
    yield "".join(f"\\{byte:03o}" for byte in raw)


def _base64(raw: bytes) -> Iterator[str]:
    """Encode in base64 at each offset in a group of three bytes, without characters that depend on neighbours."""
    for offset in range(3):
        first, last = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
        encoded = base64.b64encode(bytes(offset) + raw)[first:last].decode()
        yield encoded
        yield encoded.translate(str.maketrans("+/", "-_"))


def _base32(raw: bytes) -> Iterator[str]:
    """Encode in base32, by groups of five bytes."""
    for offset in range(5):
        first, last = -(-offset * 8 // 5), (offset + len(raw)) * 8 // 5
        for encode in (base64.b32encode, base64.b32hexencode):
            encoded = encode(bytes(offset) + raw)[first:last].decode()
            yield encoded
            yield encoded.lower()


def _base85(raw: bytes) -> Iterator[str]:
    """Encode the whole groups of four bytes at each offset, in both alphabets of base 85."""
    for offset in range(4):
        whole = raw[offset : offset + (len(raw) - offset) // 4 * 4]
        if len(whole) >= _GROUPS_BYTES:
            yield base64.b85encode(whole).decode()
            yield base64.a85encode(whole).decode()


def _quoted(text: str, raw: bytes) -> Iterator[str]:
    for unquoted in ("", "/", "!'()*"):  # strictly, as paths are, as browsers do it
        encoded = urllib.parse.quote(raw, safe=unquoted)
        yield encoded
        yield encoded.replace("%20", "+")
        yield urllib.parse.quote(encoded, safe="")  # a URL in a URL's query
    for plain_ascii in (True, False):
        encoded = json.dumps(text, ensure_ascii=plain_ascii)[1:-1]
        yield encoded
        yield encoded.replace("/", "\\/")
        yield json.dumps(encoded, ensure_ascii=plain_ascii)[1:-1]  # JSON kept in JSON, as test records do
    yield quopri.encodestring(raw).decode().replace("=\n", "")
    yield text.replace("'", "''")  # in SQL
    yield repr(text)[1:-1]
    yield repr(raw)[2:-1]
    for quotes in (True, False):
        encoded = html.escape(text, quote=quotes)
        yield encoded
        yield encoded.replace("&#x27;", "'").replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#09;")


def masked(text: str, values: Iterable[str]) -> str:
    """Replace every form of the values in a text by `***`; where two overlap, both are replaced.

    This includes values that pytest shortened: `'its first characters...and its last'`.
    """
    found = _all_forms(values)
    whole = [span for form in found for span in _places(text, form)]
    spans = sorted(whole + [(start, stop) for start, stop in _shortened(text, found) if start < stop])
    parts, end = [], 0
    for start, stop in spans:
        if start >= end:
            parts += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def _all_forms(values: Iterable[str]) -> set[str]:
    return {form for value in values for form in forms(value)}


def _places(text: str, form: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + len(form))


def _shortened(text: str, found: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Find what pytest leaves of a form when it shortens it to `beginning...end`."""
    for at, after in _places(text, _DOTS):
        before, behind = text[max(0, at - _TELLING) : at], text[after : after + _TELLING]
        for form in found:
            if before in form:
                yield at - _overlap(text[max(0, at - len(form)) : at], form), at
            if behind in form:
                yield after, after + _overlap(form, text[after : after + len(form)])


def _overlap(one: str, other: str) -> int:
    """Count the characters that the end of one and the beginning of the other share; few count as none."""
    sizes = range(min(len(one), len(other)), _TELLING - 1, -1)
    return next((size for size in sizes if one.endswith(other[:size])), 0)


def masked_cut(text: str, values: Iterable[str]) -> str:
    """Mask a text that may have been cut: also a value's beginning at its end."""
    values = sorted(values, key=len, reverse=True)
    text = masked(text, values)
    for value in values:
        text = _without_beginning(text, value)
    return text


def _without_beginning(text: str, value: str) -> str:
    """Remove the beginning of the value, as much as stands there, wherever its first characters occur.

    The scheme of an address is not secret: else `postgres` would vanish from messages about the role of that name.
    A value of one to three characters is left: `too ***usy` would tell which letter it is.
    """
    scheme = _SCHEME.match(value)
    head = value[: SHORTEST + (scheme.end() if scheme else 0)]
    at = text.find(head) if len(head.strip()) >= _TELLING else -1
    while at >= 0:
        end = at + len(head)
        while end < len(text) and text[at : end + 1] == value[: end + 1 - at]:
            end += 1
        text = text[:at] + MASK + text[end:]
        at = text.find(head, at + len(MASK))
    return text


class Scan:
    """Looks for values in files. It never shows them: not in an error, not in its own `repr`."""

    def __init__(self, values: Iterable[str]) -> None:
        # Encoders break lines, terminals wrap them, dumps group digits: without blanks each is whole again.
        squeezed = {form.encode(errors="surrogateescape").translate(None, _BLANKS) for form in _all_forms(values)}
        self._needles: list[bytes] = []
        for form in sorted(squeezed, key=len):
            if not any(needle in form for needle in self._needles):  # a line is found where the whole value is
                self._needles.append(form)
        self._overlap = max(map(len, self._needles), default=1) - 1

    def finds(self, file: Path) -> bool:
        """Return whether the file holds a form of a value, also inside of gzip and zip.

        The file is read in pieces, whatever its size. One that unpacks to more than 4 GiB counts as holding a value: it
        cannot be vouched for.

        Raises:
            OSError: The file cannot be read.
        """
        with file.open("rb") as stream:
            try:
                return self._in_stream(stream, _Budget(), 0)
            except _SpentError:
                return True

    def _in_stream(self, stream: IO[bytes], budget: "_Budget", depth: int) -> bool:
        if self._in_bytes(stream, budget, depth):
            return True
        stream.seek(0)
        kind = stream.read(2)
        stream.seek(0)
        if depth == _NESTED or kind not in (b"\x1f\x8b", b"PK"):
            return False
        try:
            return any(self._in_member(member, budget, depth + 1) for member in _members(stream, kind))
        except _SpentError:
            raise
        except Exception:  # noqa: BLE001 - as below: a stranger wrote the directory, too
            return False

    def _in_member(self, member: IO[bytes], budget: "_Budget", depth: int) -> bool:
        try:
            return self._in_stream(member, budget, depth)
        except _SpentError:
            raise
        except Exception:  # noqa: BLE001 - of four decompressors and zipfile, each with errors of its own
            return False  # damaged: what could be unpacked of it was searched

    def _in_bytes(self, stream: IO[bytes], budget: "_Budget", depth: int) -> bool:
        window = b""
        while chunk := stream.read(_CHUNK_BYTES):
            if depth:
                budget.spend(len(chunk))
            window = window[max(0, len(window) - self._overlap) :] + chunk.translate(None, _BLANKS)
            if any(needle in window for needle in self._needles):
                return True
        return False


def _members(stream: IO[bytes], kind: bytes) -> Iterator[IO[bytes]]:
    if kind != b"PK":
        with gzip.open(stream) as content:
            yield cast("IO[bytes]", content)
        return
    with zipfile.ZipFile(stream) as archive:
        for name in archive.infolist():
            try:
                member = archive.open(name)
            except (RuntimeError, NotImplementedError):
                continue  # under a password, or packed in a way that we cannot undo
            with member:
                yield member


class _SpentError(Exception):
    """More bytes were unpacked than may be searched."""


class _Budget:
    """The number of unpacked bytes that may still be searched."""

    def __init__(self) -> None:
        self._left = _UNPACKED_BYTES

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _SpentError
