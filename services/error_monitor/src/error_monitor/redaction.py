"""Secrets out of log text: one pass, before anything is stored, logged, sent or shown.

A row of RULES is a kind of secret: words of which one must stand in the text (so that most text is left at once), the
pattern, and what takes its place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

REDACTED = "[redacted]"
Replacement = str | Callable[[re.Match[str]], str]

NAMES = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|credentials?|signature|dsn|sessionid|session[_-]?id|csrf\w*"
    r"|(?:api|access|private|signing|encryption|account|auth|secret|client|shared|master|webhook|license)[_-]?key)"
    r"(?:[_-](?:id|key|base|value|hash|\d+))*"
)
"""How a field with a secret is called; letters before it do not matter."""
OPEN, SHUT = r"\\*[\"']", r"\\*[\"']?"
VALUE = (
    r"\\*\"(?:[^\"\\]|\\(?!\").)*\\*\"|\\*'(?:[^'\\]|\\(?!').)*\\*'|%(?:22|27)[^%\s]+%(?:22|27)|[^\s,;&\"'()<>\[\]{}]+"
)
FIELD_WORDS = (
    "passw|passp|pass=|pass:|pass'|pass\"|pwd|secret|token|credential|signature|dsn|sessionid|session_id|session-id|csrf"
    "|_key|-key|apikey|accesskey|privatekey|secretkey|authkey|accountkey|sharedkey"
)
SAFE = re.compile(
    r"\\*[\"']?(?:\[redacted\]|\*+|<[^>]*>|None|null|true|false|not|is|has|was|expired|invalid|missing|required|\d{1,4})?"
    r"\\*[\"']?\.?$",
    re.IGNORECASE,
)
"""Values that give nothing away."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of secret."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: Replacement


def _rule(words: str, pattern: str, replacement: Replacement) -> Rule:
    return Rule(tuple(words.split("|")), re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)


def _kept_lines(found: re.Match[str]) -> str:
    """Keep the number of lines, so that each line of a record stays a line."""
    return REDACTED + "\n" * found[0].count("\n")


def _header(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] + ' ' if found[2] else ''}{REDACTED}"


def _field(found: re.Match[str]) -> str:
    """`name=value` without its value."""
    value = found[3]
    if SAFE.match(value):
        return found[0]
    quote = re.match(OPEN, value)
    wrap = quote[0] if quote else ""
    return f"{found[1]}{found[2]}{wrap}{REDACTED}{wrap}"


_BEGIN = r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z ]*-----"
RULES = (
    # Two: many that begin and never end would each be looked through to the end of the text.
    _rule("-----end", rf"{_BEGIN}.{{0,20000}}?-----END [A-Z0-9 ]+-----", _kept_lines),
    _rule("-----begin", rf"{_BEGIN}(?:(?:\\n|\s)*[A-Za-z0-9+/=]{{16,}})*", _kept_lines),
    _rule("://", r"([a-z][\w+.-]{1,30}://)(?:[^\s/?#'\"<>@:]*:)?[^\s/?#'\"<>]+@", rf"\1{REDACTED}@"),
    _rule(
        "authorization",
        r"((?:proxy-)?authorization\\?[\"']?\s*(?:[:=]|%3A|,)\s*\\?[\"']?(?:b\\?')?)"
        r"(?:(Bearer|Basic|Token|Digest|ApiKey|AWS4-HMAC-SHA256)[ +]|%20)?[^\r\n\"'\\]+",
        _header,
    ),
    _rule("bearer|basic", r"\b(Bearer|Basic)((?:\s|%20|\+)+)(?!realm)[A-Za-z0-9._~+/=-]{8,}", rf"\1\2{REDACTED}"),
    _rule("cookie", r"((?:set-)?cookie\\?[\"']?\s*[:=,]\s*\\?[\"']?)[^\r\n\"'\\]+", rf"\1{REDACTED}"),
    _rule(FIELD_WORDS, rf"({NAMES})({SHUT}\s*(?:=>|[:=]|%3D|\\u003d)\s*)({VALUE})", _field),
    _rule(FIELD_WORDS, rf"({NAMES}[\"'],\s*)(?:\"[^\"]*\"|'[^']*')", rf"\1'{REDACTED}'"),
    _rule("--", rf"((?<![\w-])--[\w-]{{0,40}}?{NAMES}\s+)(\S+)", rf"\1{REDACTED}"),
    _rule(
        "password|passphrase|secret|token|api key",
        r"\b(password|passphrase|secret|token|api key) (is|was|of) (?!not |invalid|missing|required|expired|an? |the )"
        r"[\"']?[^\s\"',]{6,}[\"']?",
        rf"\1 \2 {REDACTED}",
    ),
    _rule("hooks.slack", r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]+", rf"\1{REDACTED}"),
    _rule("akia|asia", r"\b(?-i:AKIA|ASIA)[A-Z0-9]{16}\b", REDACTED),
    _rule("eyj", r"\b(?-i:eyJ)[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", REDACTED),
    _rule(
        "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|dckr_pat_",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|dckr_pat_[\w-]{16,})",
        REDACTED,
    ),
    _rule("xox|xapp-", r"\b(?:xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,})", REDACTED),
    _rule("k_live_|k_test_|whsec_", r"\b(?:[sr]k_(?:live|test)_\w{10,}|whsec_\w{16,})", REDACTED),
    _rule("sk-", r"\bsk-(?:ant-|proj-)?[\w-]{16,}", REDACTED),
    _rule("aiza|ya29.|gocspx-", r"\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})", REDACTED),
    _rule("npm_|pypi-", r"\b(?:npm_\w{30,}|pypi-[\w-]{30,})", REDACTED),
    _rule("sg.|hvs.|hvb.", r"\b(?:SG\.[\w-]{16,}\.[\w-]{16,}|hv[sb]\.[\w-]{20,})", REDACTED),
)
BODY = re.compile(r"(?<![\w+/])(?:[A-Za-z0-9+/]{64}(?:\\n|\s+)){2,}[A-Za-z0-9+/]*={0,2}")
"""The inside of a key whose first line is on another page."""


_CODE = ("authorization", "cookie", "password|passphrase|secret|token|api key", FIELD_WORDS)
CODE_RULES = (
    *(rule for rule in RULES if "|".join(rule.words) not in _CODE),
    _rule(FIELD_WORDS, rf"({NAMES})({SHUT}\s*(?::\s*[\w.\[\]| ]+)?[=:]\s*)(\"[^\"\n]+\"|'[^'\n]+')", _field),
)
"""Of source code only what is written out is a secret: `token = request.token` is an expression."""


def redact(text: str, rules: tuple[Rule, ...] = RULES) -> str:
    """Text without secrets. Redacting twice changes nothing; line ends stay where they are."""
    lowered = text.lower()
    for rule in rules:
        for word in rule.words:
            if word in lowered:
                text = rule.pattern.sub(rule.replacement, text)
                break
    if len(text) > 128 and ("\\n" in text or any(len(line) == 64 for line in text.split("\n"))):
        text = BODY.sub(_kept_lines, text)
    return text
