"""Secrets out of log text: one pass, before anything is stored, logged, sent or shown."""

import re

REDACTED = "[redacted]"
HINT = re.compile(
    r"pass|pwd|secret|token|key|auth|cookie|session|credential|bearer|basic |signature|sig=|dsn|://"
    r"|AKIA|ASIA|eyJ|-----BEGIN|gh[pousr]_|github_pat_|glpat-|xox|xapp-|hooks\.slack|[sr]k_(?:live|test)_|sk-|AIza"
    r"|ya29\.|npm_|pypi-|SG\.|dckr_pat_|hv[sb]\.|[A-Za-z0-9+/]{60}",
    re.IGNORECASE,
)
"""What every secret below contains: most lines hold none of it and are left at once."""

NAME = (
    r"[\w.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|account[_-]?key|credentials?|auth[_-]?key|signature|dsn|sessionid|session[_-]?id|csrf\w*)"
)
PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z ]*-----"
    r"(?:.*?-----END [A-Z0-9 ]+-----|(?:(?:\\n|\s)*[A-Za-z0-9+/=]{16,})*)",
    re.DOTALL,
)
BODY = re.compile(r"(?<![\w+/])(?:[A-Za-z0-9+/]{64}(?:\\n|\s+)){2,}[A-Za-z0-9+/]*={0,2}")
"""The inside of a key whose first line is on another page."""
URL = re.compile(r"([a-z][\w+.-]{1,30}://)(?:[^\s/?#'\"<>@:]*:)?[^\s/?#'\"<>]+@", re.IGNORECASE)
HEADER = re.compile(
    r"((?:proxy-)?authorization\\?[\"']?\s*(?:[:=]|%3A|,)\s*\\?[\"']?(?:b\\?')?)"
    r"(?:(Bearer|Basic|Token|Digest|ApiKey|AWS4-HMAC-SHA256)[ +]|%20)?[^\r\n\"'\\]+",
    re.IGNORECASE,
)
SCHEME = re.compile(r"\b(Bearer|Basic)((?:\s|%20|\+)+)(?!realm)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
COOKIE = re.compile(r"((?:set-)?cookie\\?[\"']?\s*[:=,]\s*\\?[\"']?)[^\r\n\"'\\]+", re.IGNORECASE)
FIELD = re.compile(
    rf"(?<![\w-])({NAME})(\\*[\"']?\s*(?:=>|[:=]|%3D|\\u003d)\s*)(\\*\"(?:[^\"\\]|\\(?!\").)*\\*\"|\\*'(?:[^'\\]|\\(?!').)*\\*'"
    r"|[^\s,;&\"'()<>\[\]{}]+)",
    re.IGNORECASE,
)
PAIR = re.compile(rf"([\"']{NAME}[\"'],\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
"""A header or an argument as a tuple: `('x-api-key', '…')`."""
OPTION = re.compile(rf"(--{NAME}\s+)(\S+)", re.IGNORECASE)
SPOKEN = re.compile(
    r"\b(password|passphrase|secret|token|api key) (is|was|of) (?!not |invalid|missing|required|expired|an? |the )"
    r"[\"']?[^\s\"',]{6,}[\"']?",
    re.IGNORECASE,
)
SHAPES = re.compile(
    r"\b(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|dckr_pat_[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}"
    r"|[sr]k_(?:live|test)_\w{10,}|whsec_\w{16,}"
    r"|sk-(?:ant-|proj-)?[\w-]{16,}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}"
    r"|npm_\w{30,}|pypi-[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|hv[sb]\.[\w-]{20,}"
    r")"
)
SLACK_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]+")
SAFE = re.compile(
    r"\\*[\"']?(?:\[redacted\]|\*+|<[^>]*>|None|null|true|false|not|is|has|was|expired|invalid|missing|required|\d{1,4})?"
    r"\\*[\"']?\.?$",
    re.IGNORECASE,
)
"""Values that give nothing away."""


def redact(text: str) -> str:
    """Text without secrets. Redacting twice changes nothing; line ends stay where they are."""
    if not HINT.search(text):
        return text
    if "-----BEGIN" in text:
        text = PEM.sub(_kept_lines, text)
    text = BODY.sub(_kept_lines, text)
    text = URL.sub(rf"\1{REDACTED}@", text)
    text = HEADER.sub(_header, text)
    text = SCHEME.sub(rf"\1\2{REDACTED}", text)
    text = COOKIE.sub(rf"\1{REDACTED}", text)
    text = FIELD.sub(_field, text)
    text = PAIR.sub(rf"\1'{REDACTED}'", text)
    text = OPTION.sub(rf"\1{REDACTED}", text)
    text = SPOKEN.sub(rf"\1 \2 {REDACTED}", text)
    text = SLACK_HOOK.sub(rf"\1{REDACTED}", text)
    return SHAPES.sub(REDACTED, text)


def _kept_lines(found: re.Match[str]) -> str:
    return REDACTED + "\n" * found[0].count("\n")


def _header(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] + ' ' if found[2] else ''}{REDACTED}"


def _field(found: re.Match[str]) -> str:
    """`name=value` without its value. Words that say something about a secret are none."""
    value = found[3]
    if SAFE.match(value):
        return found[0]
    quote = re.match(r"\\*[\"']", value)
    wrap = quote[0] if quote else ""
    return f"{found[1]}{found[2]}{wrap}{REDACTED}{wrap}"
