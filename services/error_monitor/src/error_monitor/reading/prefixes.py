"""The prefixes that collectors put before every line; a row for each format."""

import re
from dataclasses import dataclass

from error_monitor.reading.levels import level_named
from error_monitor.reading.line import Line

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
SYSLOG = r"[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d+)?"
DOCKERS, CONTAINER = "27", re.compile(r"[\da-f]{12}")
LEVELS = r"(?!(?:trace|debug|info|notice|warn|warning|error|err|critical|fatal)\b)"


@dataclass(frozen=True, slots=True)
class Prefix:
    """One wrapper. Its named groups go into the line; `first` holds the characters it can begin with."""

    name: str
    first: str
    pattern: re.Pattern[str]


DIGITS, LOWER, UPPER = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIXES = (
    Prefix(
        "kubernetes CRI",
        DIGITS,
        re.compile(rf"(?P<time>{ISO}) (?P<stream>stdout|stderr) (?P<partial>[FP])(?: |$)"),
    ),
    Prefix(
        "docker compose",
        LOWER,
        re.compile(rf"{LEVELS}(?P<service>[a-z0-9][a-z0-9_.@-]*)\s*\|(?: |$)"),
    ),
    Prefix(
        "honcho, foreman",
        DIGITS,
        re.compile(r"(?P<time>\d\d:\d\d:\d\d) (?P<service>[a-z][\w-]*\.\d+)\s+\|(?: |$)"),
    ),
    Prefix(
        "docker logs --timestamps, kubectl logs --timestamps",
        DIGITS,
        re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)(?: |$)"),
    ),
    Prefix(
        "Fluentd",
        DIGITS,
        re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4}) (?P<service>[\w.-]+): (?=\{)"),
    ),
    Prefix(
        "pm2",
        DIGITS,
        re.compile(r"\d+\|(?P<service>[\w.-]+)\s*\|(?: |$)"),
    ),
    Prefix(
        "stern",
        LOWER,
        re.compile(r"(?P<service>[a-z][a-z0-9-]*-[a-z0-9]{6,10}-[a-z0-9]{5}) (?P<worker>[a-z0-9][a-z0-9-]*)(?: |$)"),
    ),
    Prefix(
        "syslog",
        UPPER + "<",
        re.compile(
            rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>{SYSLOG}) (?:(?P<host>\S+) )?"
            r"(?P<service>[\w./@-]+?)(?:\[(?P<worker>\d+)\])?:(?: |$)"
        ),
    ),
    Prefix(
        "syslog, RFC 5424",
        "<",
        re.compile(
            r"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<service>\S+) (?P<worker>\S+) \S+"
            r"(?: (?:-|\[.*?\])(?= |$))?(?: |$)"  # Heroku leaves out what is structured
        ),
    ),
    Prefix(
        "a priority alone, as systemd reads it from a service's output",
        "<",
        re.compile(r"<(?P<priority>\d{1,3})>(?=[A-Za-z\[(/])"),
    ),
    Prefix(
        "journald with ISO times, heroku",
        DIGITS,
        re.compile(
            rf"(?P<time>{ISO}) (?:(?P<host>[\w.-]+) )?"
            r"(?:(?P<service>[a-z][\w./@-]*)\[(?P<worker>[\w.]+)\]|(?<= )kernel):(?: |$)"
        ),
    ),
    Prefix(
        "php-fpm",
        "[",
        re.compile(
            r"\[(?P<time>[\w :./-]{15,40})\] \w+: \[pool (?P<service>[\w.-]+)\] child (?P<worker>\d+) "
            r"said into (?P<stream>stdout|stderr): (?P<quote>\")(?:NOTICE: PHP message: )?"
        ),
    ),
    Prefix(
        "java.util.logging, whose record begins on the next line",
        UPPER,
        re.compile(r"(?P<time>[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AP]M) [\w.$]+(?P<above> )\S+$"),
    ),
    Prefix(
        "process number",
        "[",
        re.compile(r"\[(?P<worker>(?:pid|PID|worker|process|proc|thread)[ :=#-]?\d+)\](?: |$)"),
    ),
    Prefix(
        "the request's id, which Rails puts before each line of a message",
        "[",
        re.compile(r"\[[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\](?: |$)"),
    ),
    Prefix(
        "a tag, glued to fields that name themselves",
        "[",
        re.compile(r"\[\w{1,20}\](?=(?:time|ts|level|lvl)=|\{\")"),
    ),
    Prefix(
        "Ray",
        "(",
        re.compile(r"\((?:(?P<service>[\w.]+) )?pid=(?P<worker>\d+)(?:, ip=[\w.:]+)?\)(?: |$)"),
    ),
    Prefix(
        "aws logs tail",
        DIGITS,
        re.compile(rf"(?P<time>{ISO})[ \t](?P<service>[\w.$\[\]-]+(?:/[\w.$\[\]-]+){{2,}})(?: |$)"),
    ),
    Prefix(
        "Fly.io",
        DIGITS,
        re.compile(rf"(?P<time>{ISO}) (?P<service>[a-z][\w-]*)\[(?P<worker>\w+)\] [a-z]{{3}} \[(?P<level>\w+)\] ?"),
    ),
    Prefix(
        "Render",
        UPPER,
        re.compile(rf"(?P<time>{SYSLOG}) [AP]M  "),
    ),
    Prefix(
        "logcat, as Flutter shows it",
        "VDIWEFA",
        re.compile(r"[VDIWEFA]/(?P<service>[\w.-]+)\s*\(\s*(?P<worker>\d+)\): "),
    ),
    Prefix(
        "a collector of supercomputers",
        "-" + UPPER,
        re.compile(r"(?:-|[A-Z_]+) (?P<time>\d{10}) \d{4}\.\d\d\.\d\d \S+ "),
    ),
    Prefix(
        "the kernel's seconds since its start",
        "[",
        re.compile(r"\[ *\d+\.\d{3,6}\] "),
    ),
    Prefix(
        "logcli, of Loki",
        DIGITS,
        re.compile(rf"(?P<time>{ISO}) (?P<stream>\{{\w+=\"[^{{}}]*\}}) "),
    ),
    Prefix(
        "Fluent Bit's standard output",
        "[",
        re.compile(r"\[\d+\] (?P<service>[\w.*-]+): \[\[?(?P<time>[\d.]+)(?:, \{.*?\}\])?, \{\"log\"=>(?P<quote>\")"),
    ),
    Prefix(
        "torchrun",
        "[",
        re.compile(r"\[(?P<worker>rank\d+)\]: ?"),
    ),
    Prefix(
        "BuildKit",
        "#",
        re.compile(r"#\d+ (?:\d+\.\d{3} |(?=ERROR: ))"),
    ),
    Prefix(
        "Next.js",
        " \u2a2f",
        re.compile(" ?\u2a2f "),
    ),
    Prefix(
        "multilog, svlogd",
        "@",
        re.compile(r"@4[\da-f]{23} "),
    ),
    Prefix(
        "kubectl logs --prefix",
        "[",
        re.compile(r"\[(?P<service>pod/[\w.-]+(?:/[\w.-]+)?)\](?: |$)"),
    ),
)
CLOSING = re.compile(r'"(?:, pipe is closed|(?:, \"\w+\"=>\"[^\"]*\")*\}\])?$')
BY_FIRST = {
    first: tuple(row.pattern for row in PREFIXES if first in row.first)
    for first in DIGITS + LOWER + UPPER + "[(<-@# \u2a2f"
}  # fmt: skip


def peel(line: Line) -> bool:
    """Take one prefix off the line; tell whether there was one."""
    text = line.text
    for pattern in BY_FIRST.get(text[:1], ()):
        found = pattern.match(text)
        if found:
            _put(line, found.groupdict())
            line.text = text[found.end() :]
            if found.groupdict().get("quote"):
                line.text = CLOSING.sub("", line.text)
            return True
    return False


def _put(line: Line, said: dict[str, str | None]) -> None:
    """Note what a prefix said. Service, worker and output name the stream; the time does not."""
    line.time = line.time or said.get("time")
    for name in ("service", "worker"):
        if value := said.get(name):
            setattr(line, name, value)
            line.stream += f"/{value}"
    if value := said.get("stream"):
        line.stream += f"/{value}"
    line.level = level_named(said.get("level")) or _severity(said) or line.level
    line.partial = said.get("partial") == "P" or bool(said.get("above"))


def _severity(said: dict[str, str | None]) -> str | None:
    """The severity in a syslog priority. Heroku's are all emergencies; Docker has one for all of stderr."""
    priority = said.get("priority")
    if not priority or priority == DOCKERS or CONTAINER.fullmatch(said.get("service") or ""):
        return None
    return (None, "critical", "critical", "error", "warning", "info", "info", "debug")[int(priority) % 8]
