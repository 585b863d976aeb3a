import base64
import gzip
import html
import io
import json
import quopri
import secrets
import sqlite3
import tracemalloc
import urllib.parse
import xml.sax.saxutils
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay import masking
from testbay.masking import Scan, forms, masked

KEY = "sk-test/ä+é=&<x>'\"%20 end"
PEM = f"-----BEGIN KEY-----\n{secrets.token_urlsafe(40)}\r\nab\n{secrets.token_hex(24)}/+\n"
Writer = Callable[[str], str]


def in_base64(encode: Callable[[bytes], bytes], offset: int) -> Writer:
    return lambda value: encode(b"<" * offset + value.encode() + b">>").decode()


TEXTS: dict[str, Writer] = {
    "as it is": str,
    "in a sentence": lambda value: f"the key is {value}, keep it",
    "reversed": lambda value: value[::-1],
    "upper case": str.upper,
    "lower case": str.lower,
    "hex": lambda value: value.encode().hex(),
    "upper hex": lambda value: value.encode().hex().upper(),
    "hex with colons": lambda value: value.encode().hex(":"),
    "URL, every byte": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "URL in a URL": lambda value: urllib.parse.quote(urllib.parse.quote(value, safe=""), safe=""),
    "every byte escaped": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "list of bytes": lambda value: json.dumps(list(value.encode())),
    "list in C": lambda value: ", ".join(f"0x{byte:02x}" for byte in value.encode()),
    "character references": lambda value: "".join(f"&#{byte};" for byte in value.encode()),
    "hex references": lambda value: "".join(f"&#x{byte:X};" for byte in value.encode()),
    "octal": lambda value: "".join(f"\\{byte:03o}" for byte in value.encode()),
    "mail": lambda value: quopri.encodestring(value.encode(), quotetabs=False).decode(),
    "hex dump": lambda value: value.encode().hex(" ", 2),
    "URL": lambda value: urllib.parse.quote(value, safe=""),
    "URL path": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON unescaped": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps({"key": value})),
    "SQL": lambda value: f"VALUES ({value.replace(chr(39), chr(39) * 2)})",
    "repr": repr,
    "bytes": lambda value: repr(value.encode()),
    "XML": xml.sax.saxutils.escape,
    "XML attribute": lambda value: xml.sax.saxutils.quoteattr(value, {"\n": "&#10;"}),
    "HTML": html.escape,
    "base64, wrapped": lambda value: base64.encodebytes(b"." * 50 + value.encode()).decode(),
    **{f"base64 at {offset}": in_base64(base64.b64encode, offset) for offset in range(3)},
    **{f"urlsafe base64 at {offset}": in_base64(base64.urlsafe_b64encode, offset) for offset in range(3)},
    **{f"base32 at {offset}": in_base64(base64.b32encode, offset) for offset in range(5)},
    **{f"base32hex at {offset}": in_base64(base64.b32hexencode, offset) for offset in range(5)},
    **{f"base85 at {offset}": in_base64(base64.b85encode, offset) for offset in range(4)},
    **{f"ascii85 at {offset}": in_base64(base64.a85encode, offset) for offset in range(4)},
}


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "report"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def zipped(content: bytes, name: str = "inner") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize("value", [KEY, PEM], ids=["a key", "many lines"])
@pytest.mark.parametrize("written", TEXTS.values(), ids=TEXTS)
def test_every_form_in_a_file_is_found(tmp_path: Path, written: Writer, value: str) -> None:
    """Whatever a program made of the value, a file that holds it is found, and the same file without it is not."""
    assert Scan([value]).finds(write(tmp_path, f"before {written(value)} after"))
    assert not Scan([value]).finds(write(tmp_path, f"before {written(secrets.token_urlsafe(30))} after"))


@pytest.mark.parametrize("number", [0, 1, 3])  # the third line is too short to be told from other text
@pytest.mark.parametrize("written", TEXTS.values(), ids=TEXTS)
def test_one_line_of_many_is_enough(tmp_path: Path, written: Writer, number: int) -> None:
    """A line of a value gives it away as the whole does."""
    assert Scan([PEM]).finds(write(tmp_path, written(PEM.splitlines()[number])))


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in ("hex dump", "base64, wrapped")])
@pytest.mark.parametrize("value", [KEY, PEM], ids=["a key", "many lines"])
def test_no_form_stays_in_a_masked_text(tmp_path: Path, name: str, value: str) -> None:
    """What was masked has a file without a form of the value, and all around it is as it was."""
    text = masked(f"before {TEXTS[name](value)} after", [value])

    assert not Scan([value]).finds(write(tmp_path, text))
    assert (text.split(" ")[0], text.split(" ")[-1]) == ("before", "after")


def test_masking_replaces_and_nothing_else() -> None:
    """Three asterisks stand where the value stood; of overlapping values no rest stays."""
    assert masked("key=0123456789abc!", ["0123456789abc"]) == "key=***!"
    assert masked("0123456789abcdef.", ["0123456789", "456789abcdef"]) == "***."
    assert masked("0123456701234567 and ab", ["01234567", "ab", ""]) == "****** and ab"


def test_what_is_too_short_has_no_form() -> None:
    """Seven characters, blanks aside, are in many a text by chance."""
    assert forms("") == forms("1234567") == forms("1 2 3 4 5 6 7\n") == frozenset()
    assert forms("12345678") >= {"12345678", "87654321"}
    assert not Scan([]).finds(Path(__file__))


@pytest.mark.parametrize(
    "packed",
    [gzip.compress, zipped, lambda content: gzip.compress(zipped(content)), lambda content: zipped(zipped(content))],
    ids=["gzip", "zip", "zip in gzip", "zip in zip"],
)
def test_packed_files_are_looked_into(tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
    """An archive's members are unpacked and searched, one in another too."""
    assert Scan([KEY]).finds(write(tmp_path, packed(b"x" * 5000 + KEY.encode())))
    assert not Scan([KEY]).finds(write(tmp_path, packed(b"x" * 5000)))


def test_a_damaged_archive_is_searched_as_far_as_it_goes(tmp_path: Path) -> None:
    """Cut off, locked or of no known kind: what can be read is read, and nothing is raised."""
    scan, noise = Scan([KEY]), secrets.token_bytes(3 << 20)
    locked = bytearray(zipped(KEY.encode()))
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1

    assert scan.finds(write(tmp_path, gzip.compress(KEY.encode() + noise)[:-9]))
    assert scan.finds(write(tmp_path, b"PK\x03\x04" + KEY.encode()))
    assert not scan.finds(write(tmp_path, bytes(locked)))
    assert not scan.finds(write(tmp_path, b"\x1f\x8b damaged"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_way_to_pack_may_be_damaged(tmp_path: Path, method: int) -> None:
    """Each decompressor has errors of its own; none of them ends the search of the other reports."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("inner", secrets.token_bytes(5000))
    content = bytearray(packed.getvalue())
    for at in range(40, len(content) - 200, 7):
        content[at] ^= 0x55

    assert not Scan([KEY]).finds(write(tmp_path, bytes(content)))
    assert not Scan([KEY]).finds(write(tmp_path, bytes(content[: len(content) // 2]) + b"PK\x05\x06" + bytes(18)))


def test_what_unpacks_without_end_is_not_vouched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb counts as a leak: nobody has seen what is behind the part that was read."""
    monkeypatch.setattr(masking, "_UNPACKED_BYTES", 2_000_000)

    assert not Scan([KEY]).finds(write(tmp_path, gzip.compress(bytes(1_900_000))))
    assert Scan([KEY]).finds(write(tmp_path, gzip.compress(bytes(2_100_000))))


def test_a_value_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in pieces, and a piece ends anywhere in a value."""
    for size in range(1, 2 * len(KEY)):
        monkeypatch.setattr(masking, "_CHUNK_BYTES", size)
        assert Scan([KEY]).finds(write(tmp_path, f"{'.' * 50}\n{KEY}\n"))


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """A file of 200 MB is searched in a few megabytes."""
    file = tmp_path / "large.log"
    with file.open("wb") as out:
        out.truncate(200_000_000)  # without taking the disk's space
        out.seek(0, io.SEEK_END)
        out.write(KEY.encode())
    tracemalloc.start()
    found = Scan([KEY]).finds(file)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found
    assert peak_bytes < 8_000_000


def test_a_database_is_searched(tmp_path: Path) -> None:
    """The data of a coverage run is SQLite, and text stands in it as it is."""
    with sqlite3.connect(tmp_path / "coverage.db") as database:
        database.execute("CREATE TABLE context (name TEXT)")
        database.execute("INSERT INTO context VALUES (?)", (KEY,))
    database.close()

    assert Scan([KEY]).finds(tmp_path / "coverage.db")


def test_a_scan_does_not_show_what_it_looks_for() -> None:
    """Nobody prints a value by printing the scan."""
    assert not {form for form in forms(KEY) if form in repr(Scan([KEY]))}


@pytest.mark.parametrize("size", [20, 30, 60])
def test_what_pytest_leaves_of_a_value_is_masked(size: int) -> None:
    """Its first and its last characters tell a lot, however few they are."""
    from _pytest._io.saferepr import saferepr

    text = f"assert {saferepr(PEM, size)} == 'other... and more'"

    assert masked(text, [PEM]) == "assert '***...***' == 'other... and more'"


def test_dots_without_end_are_looked_at_quickly() -> None:
    """A progress line is nothing but dots; each place is looked at once."""
    text = "." * 30_000

    assert masked(text, [PEM, KEY]) == text


@pytest.mark.parametrize(("value", "shown"), [("b", "too busy: pass"), ("pass", "too busy: ***")])
def test_a_value_of_few_letters_leaves_words_whole(value: str, shown: str) -> None:
    """Masked in each word, it would be told by what is missing there."""
    assert masking.masked_cut("too busy: pass", [value]) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('authentication failed for user "postgres"', 'authentication failed for user "postgres"'),
        ("connecting to postgresql://shop:w0rdw0rd@h/", "connecting to ***"),
        ("connecting to postgresql://shop:w0rd", "connecting to ***"),
    ],
)
def test_the_scheme_of_an_address_is_no_secret(text: str, shown: str) -> None:
    """An address that was cut off is masked, a word that begins like its scheme is not."""
    assert masking.masked_cut(text, ["postgresql://shop:w0rdw0rd@h/shop"]) == shown
