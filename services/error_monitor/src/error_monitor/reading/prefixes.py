"""The prefixes that collectors put before every line; a row for each format."""

import re
from dataclasses import dataclass

from error_monitor.reading.levels import SYSLOG as SYSLOG_LEVELS
from error_monitor.reading.levels import level_named
from error_monitor.reading.line import Line
from error_monitor.reading.tables import DIGITS, LOWER, UPPER, by_first

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


def _row(name: str, first: str, pattern: str) -> Prefix:
    return Prefix(name, first, re.compile(pattern))


PREFIXES = (
    _row("kubernetes CRI", DIGITS, rf"(?P<time>{ISO}) (?P<stream>stdout|stderr) (?P<partial>[FP])(?: |$)"),
    _row("docker compose", LOWER, rf"{LEVELS}(?P<service>[a-z0-9][a-z0-9_.@-]*)\s*\|(?: |$)"),
    _row("honcho, foreman", DIGITS, r"(?P<time>\d\d:\d\d:\d\d) (?P<service>[a-z][\w-]*\.\d+)\s+\|(?: |$)"),
    _row(
        "docker logs --timestamps, kubectl logs --timestamps",
        DIGITS,
        r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)(?: |$)",
    ),
    _row(
        "Fluentd", DIGITS, r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4}) (?P<service>[\w.-]+): (?=\{)"
    ),
    _row("pm2", DIGITS, r"\d+\|(?P<service>[\w.-]+)\s*\|(?: |$)"),
    _row(
        "stern", LOWER, r"(?P<service>[a-z][a-z0-9-]*-[a-z0-9]{6,10}-[a-z0-9]{5}) (?P<worker>[a-z0-9][a-z0-9-]*)(?: |$)"
    ),
    _row(
        "syslog",
        UPPER + "<",
        rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>{SYSLOG}) (?:(?P<host>\S+) )?"
        r"(?P<service>[\w./@-]+?)(?:\[(?P<worker>\d+)\])?:(?: |$)",
    ),
    _row(
        "syslog, RFC 5424",
        "<",
        r"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S+) (?P<service>\S+) (?P<worker>\S+) \S+"
        r"(?: (?:-|\[.*?\])(?= |$))?(?: |$)",  # Heroku leaves out what is structured
    ),
    _row(
        "a priority alone, as systemd reads it from a service's output", "<", r"<(?P<priority>\d{1,3})>(?=[A-Za-z\[(/])"
    ),
    _row(
        "journald with ISO times, heroku",
        DIGITS,
        rf"(?P<time>{ISO}) (?:(?P<host>[\w.-]+) )?"
        r"(?:(?P<service>[a-z][\w./@-]*)\[(?P<worker>[\w.]+)\]|(?<= )kernel):(?: |$)",
    ),
    _row(
        "php-fpm",
        "[",
        r"\[(?P<time>[\w :./-]{15,40})\] \w+: \[pool (?P<service>[\w.-]+)\] child (?P<worker>\d+) "
        r"said into (?P<stream>stdout|stderr): (?P<quote>\")(?:NOTICE: PHP message: )?",
    ),
    _row(
        "java.util.logging, whose record begins on the next line",
        UPPER,
        r"(?P<time>[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d [AP]M) [\w.$]+(?P<above> )\S+$",
    ),
    _row("process number", "[", r"\[(?P<worker>(?:pid|PID|worker|process|proc|thread)[ :=#-]?\d+)\](?: |$)"),
    _row(
        "the request's id, which Rails puts before each line of a message",
        "[",
        r"\[[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\](?: |$)",
    ),
    _row("a tag, glued to fields that name themselves", "[", r"\[\w{1,20}\](?=(?:time|ts|level|lvl)=|\{\")"),
    _row("Ray", "(", r"\((?:(?P<service>[\w.]+) )?pid=(?P<worker>\d+)(?:, ip=[\w.:]+)?\)(?: |$)"),
    _row(
        "cf logs",
        DIGITS,
        rf"(?P<time>{ISO}) \[(?P<service>[A-Z]+(?:/[A-Z\d]+)*)\] \[?(?P<stream>OUT|ERR)\]?(?: |$)",
    ),
    _row("aws logs tail", DIGITS, rf"(?P<time>{ISO})[ \t](?P<service>[\w.$\[\]-]+(?:/[\w.$\[\]-]+){{2,}})(?: |$)"),
    _row(
        "Fly.io",
        DIGITS,
        rf"(?P<time>{ISO}) (?P<service>[a-z][\w-]*)\[(?P<worker>\w+)\] [a-z]{{3}} \[(?P<level>\w+)\] ?",
    ),
    _row("Render", UPPER, rf"(?P<time>{SYSLOG}) [AP]M  "),
    _row("logcat, as Flutter shows it", "VDIWEFA", r"[VDIWEFA]/(?P<service>[\w.-]+)\s*\(\s*(?P<worker>\d+)\): "),
    _row("a collector of supercomputers", "-" + UPPER, r"(?:-|[A-Z_]+) (?P<time>\d{10}) \d{4}\.\d\d\.\d\d \S+ "),
    _row("the kernel's seconds since its start", "[", r"\[ *\d+\.\d{3,6}\] "),
    _row("logcli, of Loki", DIGITS, rf"(?P<time>{ISO}) (?P<stream>\{{\w+=\"[^{{}}]*\}}) "),
    _row(
        "Fluent Bit's standard output",
        "[",
        r"\[\d+\] (?P<service>[\w.*-]+): \[\[?(?P<time>[\d.]+)(?:, \{.*?\}\])?, \{\"log\"=>(?P<quote>\")",
    ),
    _row(
        "CherryPy, of a request",
        "[",
        r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)\] [A-Z.]{3,20} (?=Traceback \(most recent)",
    ),
    _row("the name of the output, in bars", "|", r"\| (?P<stream>std(?:out|err)) \|(?: |$)"),
    _row("torchrun", "[", r"\[(?P<worker>rank\d+)\]: ?"),
    _row("BuildKit", "#", r"#\d+ (?:\d+\.\d{3} |(?=ERROR: ))"),
    _row("Next.js", " \u2a2f", " ?\u2a2f "),
    _row("multilog, svlogd", "@", r"@4[\da-f]{23} "),
    _row("kubectl logs --prefix", "[", r"\[(?P<service>pod/[\w.-]+(?:/[\w.-]+)?)\](?: |$)"),
)
CLOSING = re.compile(r'"(?:, pipe is closed|(?:, \"\w+\"=>\"[^\"]*\")*\}\])?$')
BY_FIRST = by_first(PREFIXES)


def peel(line: Line) -> bool:
    """Take one prefix off the line; tell whether there was one."""
    text = line.text
    for row in BY_FIRST.get(text[:1], ()):
        if found := row.pattern.match(text):
            said = found.groupdict()
            _put(line, said)
            line.text = text[found.end() :]
            if said.get("quote"):
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
    return SYSLOG_LEVELS[int(priority) % 8] if int(priority) % 8 else None
