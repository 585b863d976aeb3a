"""Messages without what changes from one occurrence to the next.

One message is masked by itself, without a look at others: so its pattern is the same in any order, in any file.
"""

import re

CHARS = 4000
DAYS = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
UNITS = (
    r"(?:[KMGTP]i?B|[KMG]?[Bb]ytes|B|[mnu]s|msecs?|milliseconds?|secs?|seconds?|minutes?|mins?|hours?|hrs?|days?|[smhd]"
    r"|%|[KMG]?Hz|[CF])"
)
DOMAINS = (
    r"(?:com|net|org|edu|gov|mil|int|info|biz|io|dev|app|cloud|local|localdomain|internal|lan|corp|svc|home|arpa"
    r"|[a-z]{2})"
)
WORD = (
    r"(?!(?:unknown|not|is|was|has|had|names?|and|or|the|an?|to|from|on|in|by|of|with|for|agent|id|account|does)\b)"
    r"[\w.$@\\\\-]+"
)
ACCOUNT = r"[\w.$@\\-]+"
NAMED = re.compile(
    rf"(?P<lead>\b(?:[Uu]ser(?:name)?|USER|account|tenant|customer|login):? )'?{WORD}"
    rf"|(?P<for>\bfor )(?!user |invalid ){ACCOUNT}(?= from [\d(])"
)
"""Names of people stand without quotes, and look like words."""
MASK = re.compile(
    rf"(?P<words>(?<![A-Za-z])(?:(?!(?:{DAYS}|{MONTHS})\b)[A-Za-z]+(?:[ ;]+|, |$))+)"
    r"|(?P<verb>\"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) )[^\"]*\""
    r"|(?P<keep>\b(?i:IPv[46]|ssh2|utf-?(?:8|16)|sha\d{1,3}|md5|http/\d|latin-?1|base64)\b)"
    r"|(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s'\"<>\])]+"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|'(?:[^'\\]|\\.){0,2000}?'(?![A-Za-z])|\"(?:[^\"\\]|\\.){0,2000}?\"|`[^`]{0,2000}?`"
    r"|\u00ab[^\u00bb]{0,2000}\u00bb|[\u201c\u201e][^\u201c\u201d]{0,2000}[\u201c\u201d]"
    rf"|\b(?=[A-Z]){DAYS},? {MONTHS} [ \d]\d [\d:]{{5,8}}(?: [A-Z]{{3,4}})?(?: \d{{4}})?"
    rf"|\b(?:(?=[A-Z])(?:{DAYS},? )?{MONTHS} [ \d]?\d(?:,? \d{{4}})?|\d{{1,2}} {MONTHS} \d{{4}})(?: [\d:]{{5,8}})?\b"
    r"|(?=\d)\d{4}[-/]\d\d(?:[-/]\d\d)?(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?\b"
    r"|(?P<equals>(?<=[\w\])])=)(?:\"(?:[^\"\\]|\\.){0,2000}?\"|[\w.$:-]{1,100}\{[^{}]{0,200}\}|(?=[^\s=>])[^\s,;&|)\]}]+)"
    r"|(?P<flag>[=:] {1,3})(?i:true|false|null|none|yes|no|on|off)(?=\s*(?:[,;|)\]}]|$))"
    r"|(?<=\()/[^()]*(?=\))"
    r"|(?<![\w/.])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[\w.@%+=~{}$-]*(?:[/\\][\w.@%+=~{}$#-]+)*/?(?:\?[^\s'\"<>)\]]*)?"
    r"|(?P<empty>(?<=\w )\(\))"
    r"|\b[A-Z]+\([\w./-]+\)"
    r"|(?<![\w./-])[a-z][\w-]*:\d{4,5}(?![\w.-]|:\d)"
    rf"|\b(?:[A-Za-z0-9](?:[\w-]{{0,62}}\w)?\.){{1,12}}{DOMAINS}\b(?:\.(?=[\s,;:]|$)|(?![\w(.-]))"
    r"|\bcom(?:\.[\w-]+)+"
    r"|(?<![\w.])[\w-]{1,100}\.(?:csv|tsv|xlsx?|docx?|pdf|png|jpe?g|gif|webp|svg|mp[34]|wav|zip|parquet|avro)\b"
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b0x[0-9a-fA-F]+\b|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{7,}\b"
    r"|<?(?<![A-Za-z_])[A-Za-z_]*(?:[-_./#+~@\\][A-Za-z_]+)*[-_./#+~@\\]?\d(?:[\w.:/#%+~@\\,-]*[\w/#%+~@])?"
    rf"(?: ?{UNITS}(?![\w-]))?"
)
FIELD = re.compile(
    r"(?:(?<![\w.])(?:err|error)=|\"(?:err|error)\": ?)(?:\"(?P<quoted>(?:[^\"\\]|\\.){0,2000}?)\"|(?=[^\s\"=]))"
)
"""The field of a record that holds the error: its value tells faults apart, unlike those of others."""
REQUEST = re.compile(r", client: [\da-f.:]+, server: .*| \((?:from|in query:) .*")
"""Whose request it was, as nginx and ClickHouse say."""
PLURAL = re.compile(r"(?<=\* )([a-z]{3,30}?)(?<![uis])s?(?: (?:is|are|was|were|has|have))?(?![\w'-])")
"""One thing or many: the number is masked."""
RECORDS = re.compile(r"(?<=\* )(?:AAAA|A|PTR|SRV|MX|TXT|NS|CNAME|SOA|HTTPS)(?=:)")
"""Which record of a name was asked for: the fault is the same."""
PARTS = re.compile(r"\*(?:[/\\][\w.-]+)+")
RUNS = re.compile(r"\*(?:[\s,;:/|x]*(?:\*|(?<=\* )\(\*\)(?= [a-z])))+")
"""Values that follow each other are one: a list may be longer the next time, and a size stand in two units."""
NESTED = re.compile(r"(?<=[:,=] )(?:\[\]|\{\})|\[[\s*:,=]*\*[\s*:,=]*\]|\{[\s*:,=]*\*[\s*:,=]*\}")
"""Lists and objects of values alone: the next one may have others, and more."""
DEEP = 4
SPACES = re.compile(r"\s+")


def masked(message: str) -> str:
    """The first line of a message, its variable parts replaced by `*`."""
    first = next((line for line in message.split("\n") if line.strip()), "")
    if len(first) > CHARS:
        first = first[:CHARS].rpartition(" ")[0] or first[:CHARS]
    if "err" in first:
        first = FIELD.sub(_field, first)
    text = MASK.sub(_replaced, NAMED.sub(_named, REQUEST.sub("", first)))
    text = RUNS.sub("*", PARTS.sub("*", RECORDS.sub("*", text) if "A:" in text else text))
    for _ in range(DEEP):
        inner, text = text, RUNS.sub("*", NESTED.sub("*", text))
        if inner == text:
            break
    return SPACES.sub(" ", PLURAL.sub(r"\1", text)).strip()


def shown(message: str) -> str:
    """The masked message for people: a verb that was taken for a plural is whole again; names of patterns keep it."""
    return masked(message).replace(" doe not ", " does not ")


def _field(found: re.Match[str]) -> str:
    return "error: " + (found["quoted"] or "").replace('\\"', '"')


def _named(found: re.Match[str]) -> str:
    return f"{found['lead'] or found['for']}*"


def _replaced(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind is None:
        return "*"
    if kind == "words":
        return found[0]
    if kind == "keep":
        return found[0].lower()
    return "(*)" if kind == "empty" else f"{found[kind]}*"
