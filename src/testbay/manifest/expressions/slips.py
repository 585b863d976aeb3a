"""Slips of people who know other languages of conditions, each with the way to write it here."""

import re

_TEXTS = re.compile(r"'[^']*'|\"[^\"]*\"")
_HOLDS = "(contains|matches|includes|startswith)"
_SLIPS = {  # a word behind a dot is a key of the answer's JSON
    re.compile(r"\b[1-5]xx\b|\.\.|\brange\("): "a range is 200 <= status < 300",
    re.compile(r"&&|\|\||(?<!\.)\b(AND|OR|NOT)\b"): "it is written with and, or, not",
    re.compile(rf"=~|~=|(?<!\.)\b{_HOLDS}\b|\.{_HOLDS}\("): "whether it holds a text says 'ok' in text",
    re.compile(r"headers\.\w+-\w"): "a name with a dash is headers['content-type']",
    re.compile(r"\$|^\s*\."): "a value of the answer is json.key",
    re.compile(r"\d\s*(ms|s|sec|seconds)\b"): "a time is a number without a unit, as in response_ms < 500",
    re.compile(r"!(?!=)"): "it is written with not",
    re.compile(r"===|!==|(?<![=!<>])=(?!=)|^\s*(?!lambda)\w+\s*:|(?<!\.)\bis\b"): "== compares",
}


def advice(text: str) -> str:
    """Say how a condition is written that was written as elsewhere; empty if it is not known."""
    bare = _TEXTS.sub("''", text)
    return next((f"; {how}" for slip, how in _SLIPS.items() if slip.search(bare)), "")
