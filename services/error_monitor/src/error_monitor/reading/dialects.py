"""The first lines of records that loggers of other languages write: level, message, and who wrote it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from error_monitor.reading.levels import LETTERS
from error_monitor.reading.tables import DIGITS, LOWER, UPPER, by_first

PHP_LOGGER = "PHP"
DEATH, NOISE = {"": "critical"}, {"": "info"}
FAULT = {"": "error"}
ERLANG_LEVELS = {"I": "info", "P": "info", "W": "warning", "": "error"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One program's way to begin a record; its named groups are the parts of a header.

    `word` names the level: it or its first letter is looked up in `levels`, whose empty name stands for all others.
    `message` is what stands behind the match where there is no such group; `fields` may hold the error itself, and
    `lead` stands before the message.
    """

    name: str
    first: str
    """The characters that it can begin with."""
    pattern: re.Pattern[str]
    levels: Mapping[str, str]
    needs: str
    """What stands in each such line: most others are left at once."""


def _row(name: str, first: str, pattern: str, levels: Mapping[str, str] = LETTERS, needs: str = "") -> Dialect:
    return Dialect(name, first, re.compile(pattern), levels, needs)


ANY = DIGITS + LOWER + UPPER + "_./"
ROWS = (
    _row(
        "PHP",
        "P",
        r"(?P<logger>PHP) (?P<word>Fatal error|Parse error|Compile error|Core error|Recoverable fatal error|Warning"
        r"|Core Warning|Notice|Deprecated|Strict Standards):\s+",
        {"Warning": "warning", "Core Warning": "warning", "Notice": "info", "Deprecated": "info", "": "critical"},
    ),
    _row(
        "Ruby's logger; Rails puts empty records of the same level around an exception",
        "DIWEFA",
        r"(?P<word>[DIWEFA]), \[(?P<time>[\d-]+T[\d:.]+) #(?P<worker>\d+)\]\s+\w+ -- (?P<logger>[\w:.-]*): ?+"
        r"(?:\[[\w.:-]{1,64}\] ?)*+(?=.*\S)\s*",
    ),
    _row("Ruby's logger, nothing said", "DIWEFA", r"[DIWEFA], \[\d[^\]]+\]\s+\w+ -- ", NOISE),
    _row(
        ".NET's console",
        "tdiwfc",
        r"(?P<word>trce|dbug|info|warn|fail|crit): (?P<logger>[\w.`+]+)\[\d+\](?P<message>)\s*$",
        {"trce": "debug", "dbug": "debug", "info": "info", "warn": "warning", "fail": "error", "crit": "critical"},
    ),
    _row(
        "logrus on a terminal",
        "TDIWEFP",
        r"(?P<word>TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[\d{4,}\] (?P<message>.*?)(?P<fields>\s{2,}\w+=.*)?\s*$",
    ),
    _row(
        "charm's log",
        "DEF",
        r"(?P<word>DEBU|ERRO|FATA) (?P<message>.*?)(?P<fields> \w+=.*)?\s*$",
    ),
    _row(
        "logcat",
        DIGITS,
        r"\d\d-\d\d (?P<time>\d\d:\d\d:\d\d\.\d{3})\s+(?P<worker>\d+)\s+\d+ (?P<word>[VDIWEFA]) "
        r"(?P<logger>[^:]{1,60}?)\s*: ",
        {**LETTERS, "A": "critical"},
    ),
    _row(
        "Blue Gene",
        DIGITS,
        r"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d+ \S+ [A-Z]+ (?P<logger>[A-Z]+) "
        r"(?P<word>INFO|WARNING|ERROR|SEVERE|FATAL|FAILURE) ",
        {"SEVERE": "error", "FAILURE": "error", **LETTERS},
    ),
    _row(
        "Redis, whose highest level is a warning",
        DIGITS,
        r"\d+:[MSCX] (?P<time>\d{1,2} [A-Z][a-z]{2} \d{4} [\d:.]+) (?P<word>#) (?!WARNING|Warning)"
        r"(?=.*(?i:fail|error|can't|cannot|unable|crash|out of memory|denied|abort|corrupt|bad |fatal))",
        FAULT,
    ),
    _row("Redis", DIGITS, r"\d+:[MSCX] (?P<time>\d{1,2} [A-Z][a-z]{2} \d{4} [\d:.]+) [#*.-] ", NOISE),
    _row(
        "Erlang",
        "=",
        r"=(?P<word>[A-Z]+) REPORT==== (?P<time>\d{1,2}-[A-Z][a-z]{2}-\d{4}::[\d:.]+) ===$",
        ERLANG_LEVELS,
    ),
    _row(
        "Ansible",
        "f",
        r"(?:fatal|failed): \[[^\]]*\](?:: (?P<lead>[A-Z]+)!| \(item=.*?\)) => "
        r"\{.*?\"msg\": \"(?P<message>(?:[^\"\\]|\\.)*)",
        FAULT,
    ),
    _row(
        "PostgreSQL's processes",
        "[L",
        r"(?:\[\d+\] )?LOG:  (?=server process \(PID \d+\) was terminated by signal )",
        DEATH,
    ),
    _row(
        "PostgreSQL behind any prefix",
        DIGITS + LOWER + "[",
        r".{0,120}?(?:\d\d:\d\d:\d\d|\[\d+\]|^psql:\S+:\d+:).{0,90}? "
        r"(?P<word>LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):  ",
        {"E": "error", "F": "critical", "P": "critical", "W": "warning", "": "info"},
        needs=":  ",
    ),
    _row("Heroku's router", "a", r"at=error code=(?P<lead>[A-Z]\d+) desc=\"(?P<message>[^\"]*)\"", DEATH),
    _row(
        "Heroku's router, and AWS Lambda, of every request",
        "aSERI",
        r"at=info |(?:START|END|REPORT|INIT_START) ",
        NOISE,
    ),
    _row("Heroku's dynos", "E", r"Error (?=[RL]\d\d \()", DEATH),
    _row("AWS Lambda's time limit", DIGITS + "abcdef", r"[\da-f-]{36} (?=Task timed out after )", DEATH),
    _row("AWS Lambda", "R", r"RequestId: [\da-f-]{36} (?=Process exited before|Error: )", DEATH),
    _row(
        "the kernel",
        "OMIEXBbN",
        r"(?=(?:Memory cgroup o|O)ut of memory: Kill(?:ed)? process \d+ |INFO: task \S+ blocked for more than"
        r"|(?:EXT4-fs|BTRFS|XFS)\b.{0,40} error|blk_update_request: .*error|[IB]uffer I/O error|I/O error, "
        r"|NVRM: Xid \()",
        DEATH,
    ),
    _row("the kernel, of a process", LOWER + UPPER, r"(?=[\w.-]+\[\d+\]: segfault at )", DEATH, "]: segfault at "),
    _row(
        "libc",
        "St*dfrmP",
        r"(?=Process \d+ \([^)]*\) of user \d+ dumped core|Segmentation fault(?: \(core dumped\))?$"
        r"|terminate called (?:after|without) |double free or corruption "
        r"|\*\*\* (?:stack smashing|buffer overflow) detected |(?:free|malloc|realloc|munmap_chunk)\(\): \w)",
        DEATH,
    ),
    _row("a fatal error of PHP, Swift and others", "F", r"(?=Fatal error: (?!exception ))", DEATH),
    _row("the sanitizers", "=", r"==\d+==(?=ERROR: \w+Sanitizer: )", DEATH),
    _row(
        "the JVM", "#F", r"# (?=A fatal error has been detected by the Java)|(?=Found one Java-level deadlock:)", DEATH
    ),
    _row("MySQL", "Umt", r"(?:UTC - )?(?=(?:mysqld|mariadbd) got signal \d+)", DEATH),
    _row(
        "hapi's good",
        DIGITS,
        r"(?P<time>\d{6}/\d{6}\.\d+), \[[\w,]*?(?P<word>debug|info|warn|error)\b[\w,]*\] (?:data: )?",
        {"d": "debug", "i": "info", "w": "warning", "": "error"},
    ),
    _row(
        "Zigbee2MQTT",
        "Zz",
        r"[Zz]igbee2(?:MQTT|mqtt):(?P<word>[a-z]+) +(?P<time>[\d-]+[T ][\d:]+): ",
        {"e": "error", "w": "warning", "": "info"},
    ),
    _row(
        "Windows' events, exported",
        "IWEC",
        r"(?P<word>Information|Warning|Error|Critical)\t(?P<time>[\d/]+ [\d:]+ [AP]M)\t(?P<logger>[^\t]+)\t\d+\t"
        r"[^\t]*\t",
    ),
    _row(
        "monit",
        "[",
        r"\[[A-Z]+ (?P<time>[A-Z][a-z]{2} +\d+ [\d:]+)\] (?P<word>debug|info|warning|error|critical) +: ",
        {"e": "error", "c": "critical", "w": "warning", "": "info"},
    ),
    _row("chi, of a panic", "[", r"\[[^\]]+\] \"[A-Z]+ [^\"]{1,500}\" from \S+ - (?=panic: )", DEATH, " - panic: "),
    _row(
        "Linux' audit, of what was denied or has crashed",
        "t",
        r"type=(?:AVC|USER_AVC|SELINUX_ERR|ANOM_\w+|SECCOMP) msg=audit\((?P<time>\d+\.\d+):\d+\): (?!.*\bgranted\b)",
        FAULT,
    ),
    _row("Linux' audit", "t", r"type=[A-Z_]+ msg=audit\(", NOISE),
    _row("uWSGI", "D", r"(?=DAMN ! worker \d+ )", DEATH),
    _row("Oracle", "O", r"(?=ORA-\d{5}: )", FAULT),
    _row("HAProxy", "bpS", r"(?=(?:backend|proxy) \S+ has no server available!|Server \S+/\S+ is DOWN)", DEATH),
    _row(
        "Node, of what a program should not do any more",
        "(",
        r"\(node:\d+\) (?:\[\w+\] )?(?!Unhandled)\w*Warning: ",
        NOISE,
    ),
    _row("Node", "([U", r"(?:\(node:\d+\) )?\[?(?=UnhandledPromiseRejection(?:Warning)?: )", DEATH),
    _row("Gin", "[", r"\[Recovery\] [\d/ :-]+ (?=panic recovered:$)", DEATH),
    _row(
        "Puma",
        "R[",
        r"Rack app \(.*?\): #<(?P<message>[A-Z][\w:]*: .*)>$|\[\d+\] ! (?=Terminating timed out worker)",
        DEATH,
    ),
    _row("WordPress", "W", r"(?=WordPress database error )", FAULT),
    _row("Vite", "AP[", r"(?:[AP]M )?\[vite\] (?=Internal server error: )", FAULT),
    _row(
        "kubectl",
        "ET",
        r"(?=Error from server(?: \(|: )|The connection to the server \S+ was refused)",
        FAULT,
    ),
    _row(
        "a shell",
        ANY,
        r"\S+: line \d+: (?:\s*\d+ )?(?=.*(?:command not found|unbound variable|syntax error|No such file"
        r"|Permission denied|Killed|Segmentation fault|Aborted|Terminated|cannot ))",
        FAULT,
        ": line ",
    ),
    _row(
        "a shell, at its prompt",
        "-bszd",
        r"-?(?:ba|da|z|k)?sh: (?:\d+: )?(?=.*: (?:not found|command not found|No such file|Permission denied))",
        FAULT,
    ),
    _row("curl", "c", r"(?=curl: \(\d+\) )", FAULT),
    _row("make", "m", r"(?=make(?:\[\d+\])?: \*\*\* )", FAULT),
    _row("tar, rsync", "tr", r"(?=tar: .*: Cannot |rsync error: )", FAULT),
    _row(
        "command line tools",
        "efFwWIND",
        r"(?P<word>error|fatal|Fatal|FAILED|[Ww]arning|Info|Notice|Debug)(?:\[\w{1,40}\])?: "
        r"(?!(?i:0|none|null|nil|no|false|undefined|uncaught)\b)(?=\S)",
        {"e": "error", "FAILED": "error", "f": "critical", "F": "critical", "w": "warning", "W": "warning", "": "info"},
    ),
)
BY_FIRST = by_first(ROWS)
CAUSE = re.compile(r"(?:^|\s)(?:err|error)=(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"'=]+))(?=\s|$)")
"""The error itself, beside the message of a Go logger."""
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?= [\w./-]+=|\s*$)')
"""The message of klog's structured lines, before its fields."""
Said = tuple[str, str, str | None, str | None, str | None]
"""Level, message, time, logger, worker."""


def unquoted(message: str) -> str:
    """A message without the quotes and fields of klog."""
    found = QUOTED.match(message)
    return with_cause(found[1], cause(message[found.end() :])) if found else message


def cause(fields: str) -> str:
    """The error in the fields beside a message, or nothing."""
    found = CAUSE.search(fields)
    return (found[1] or found[2] or found[3] or "").replace('\\"', '"') if found else ""


def with_cause(message: str, said: str | None) -> str:
    """A message and the error beside it, if that says more: `save failed` serves many faults."""
    return f"{message}: {said}" if said and said not in message else message


def said(text: str) -> Said | None:
    """Parse the first line of a record; None where it is another dialect."""
    for row in BY_FIRST.get(text[:1], ()):
        if row.needs in text and (found := row.pattern.match(text)):
            return _parts(row, found, text)
    return None


def _parts(row: Dialect, found: re.Match[str], text: str) -> Said:
    groups = found.groupdict()
    word = groups.get("word") or ""
    level = row.levels.get(word) or row.levels.get(word[:1]) or row.levels.get("", "error")
    message = groups.get("message")
    message = (
        text[found.end() :].rstrip() if message is None else with_cause(message, cause(groups.get("fields") or ""))
    )
    if lead := groups.get("lead"):
        message = f"{lead} {message}"
    return level, message, groups.get("time"), groups.get("logger"), groups.get("worker")
