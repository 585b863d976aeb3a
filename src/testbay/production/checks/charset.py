"""Decoding an answer: by its byte order mark, the declared charset, else as UTF-8."""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
# The encodings of the web; Python knows more, some of them slow or not for text.
_KNOWN = re.compile(
    r"us-?ascii|utf-?(7|8|16|32)([_-]?[lb]e)?|iso-?8859-?\d+|latin-?\d+|windows-?\d+|cp-?\d+|koi8-?[rut]|"
    r"mac[_-]?\w+|(shift|x-s)?[_-]?jis|sjis|euc-?(jp|kr)|gb(k|2312|18030)|big5|iso-?2022-?jp",
    re.IGNORECASE,
)


def text_of(body: bytes, content_type: str) -> str:
    """Decode a body; invalid bytes become replacement characters."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    declared = _CHARSET.search(content_type)
    try:
        if declared and _KNOWN.fullmatch(declared[1]):
            return body.decode(declared[1], errors="replace")
    except LookupError:
        pass
    return body.decode(errors="replace")
