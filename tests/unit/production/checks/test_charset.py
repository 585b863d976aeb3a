"""What an answer says is read as its server wrote it."""

import codecs

import pytest

from testbay.production.checks import charset

TEXT = '{"name": "Müller"}'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (TEXT.encode(), "application/json"),
        (TEXT.encode(), "application/json; charset=utf-8"),
        (TEXT.encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        (TEXT.encode("cp1252"), 'text/plain; boundary=x; Charset="windows-1252"'),
        (TEXT.encode("utf-16-le"), "application/json; charset=utf-16le"),
        (codecs.BOM_UTF8 + TEXT.encode(), "application/json"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "application/json; charset=latin-1"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), ""),
        (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "application/json"),
    ],
)
def test_a_mark_and_a_charset_count(body: bytes, content_type: str) -> None:
    """The mark more than what is declared."""
    assert charset.text_of(body, content_type) == TEXT


@pytest.mark.parametrize("name", ["x", "zlib", "rot13", "punycode", "undefined", "unicode_escape", "cp99999", "a" * 99])
def test_a_charset_that_is_unknown_is_utf_8(name: str) -> None:
    """Also one that Python knows and that is none."""
    assert charset.text_of(TEXT.encode(), f"text/plain; charset={name}") == TEXT
