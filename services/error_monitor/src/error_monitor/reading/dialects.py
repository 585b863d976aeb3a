"""The first lines of records that loggers of other languages write: level, message, and who wrote it."""

import re

PHP = re.compile(
    r"PHP (?P<kind>Fatal error|Parse error|Compile error|Core error|Recoverable fatal error|Warning|Core Warning|Notice"
    r"|Deprecated|Strict Standards):\s+"
)
PHP_LOGGER = "PHP"
PHP_LEVELS = {"Warning": "warning", "Core Warning": "warning", "Notice": "info", "Deprecated": "info"}
RUBY = re.compile(
    r"(?P<letter>[DIWEFA]), \[(?P<time>[\d-]+T[\d:.]+) #(?P<worker>\d+)\]\s+\w+ -- (?P<logger>[\w:.-]*): ?"
    r"(?P<tags>(?:\[[\w.:-]{1,64}\] ?)*)"
)
RUBY_LEVELS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "critical", "A": "info"}
DOTNET = re.compile(r"(?P<word>trce|dbug|info|warn|fail|crit): (?P<logger>[\w.`+]+)\[\d+\]\s*$")
DOTNET_LEVELS = {
    "trce": "debug", "dbug": "debug", "info": "info", "warn": "warning", "fail": "error", "crit": "critical",
}  # fmt: skip
LOGRUS = re.compile(
    r"(?P<word>TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)\[\d{4,}\] (?P<message>.*?)(?P<fields>\s{2,}\w+=.*)?\s*$"
)
LOGRUS_LEVELS = {
    "TRAC": "debug", "DEBU": "debug", "INFO": "info", "WARN": "warning", "ERRO": "error", "FATA": "critical",
    "PANI": "critical",
}  # fmt: skip
LOGCAT = re.compile(
    r"\d\d-\d\d (?P<time>\d\d:\d\d:\d\d\.\d{3})\s+(?P<worker>\d+)\s+\d+ (?P<letter>[VDIWEFA]) "
    r"(?P<logger>[^:]{1,60}?)\s*: "
)
LOGCAT_LEVELS = {**RUBY_LEVELS, "V": "debug", "A": "critical"}
BLUE_GENE = re.compile(
    r"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d+ \S+ [A-Z]+ (?P<logger>[A-Z]+) "
    r"(?P<word>INFO|WARNING|ERROR|SEVERE|FATAL|FAILURE) "
)
BLUE_GENE_LEVELS = {
    "INFO": "info", "WARNING": "warning", "ERROR": "error", "SEVERE": "error", "FATAL": "critical", "FAILURE": "error",
}  # fmt: skip
ERLANG = re.compile(r"=(?P<word>[A-Z]+) REPORT==== (?P<time>\d{1,2}-[A-Z][a-z]{2}-\d{4}::[\d:.]+) ===$")
ERLANG_LEVELS = {"INFO": "info", "PROGRESS": "info", "WARNING": "warning"}
ANSIBLE = re.compile(
    r"(?:fatal|failed): \[[^\]]*\](?:: (?P<word>[A-Z]+)!| \(item=.*?\)) => "
    r"\{.*?\"msg\": \"(?P<message>(?:[^\"\\]|\\.)*)"
)
CAUSE = re.compile(r"(?:^|\s)(?:err|error)=(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s\"'=]+))(?=\s|$)")
"""The error itself, beside the message of a Go logger."""
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?= [\w./-]+=|\s*$)')
"""The message of klog's structured lines, before its fields."""
CHANNEL = re.compile(
    r"\s?(?P<logger>[\w-]{1,40})\.(?P<word>DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT|EMERGENCY): "
)
"""Monolog: `[TIME] production.ERROR: message`."""

DEATHS = re.compile(
    r"(?:\[ *\d+\.\d+\] )?(?P<kernel>(?:Memory cgroup o|O)ut of memory: Kill(?:ed)? process \d+ .*"
    r"|[\w.-]+\[\d+\]: segfault at .*)"
    r"|\[Recovery\] [\d/ :-]+ (?P<gin>panic recovered:$)"
    r"|(?P<shell>Segmentation fault(?: \(core dumped\))?$|terminate called (?:after|without) .*"
    r"|double free or corruption .*"
    r"|\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*.*|(?:free|malloc|realloc|munmap_chunk)\(\): \w.*)"
    r"|(?P<fatal>(?:\S+\.swift:\d+: )?Fatal error: .*)|==\d+==(?P<sanitizer>ERROR: \w+Sanitizer: .*)"
    r"|(?P<haproxy>(?:backend|proxy) \S+ has no server available!|Server \S+/\S+ is DOWN.*)"
    r"|(?:\[\d+\] )?LOG:  (?P<postgres>server process \(PID \d+\) was terminated by signal .*)"
    r"|at=error code=(?P<code>[A-Z]\d+) desc=\"(?P<heroku>[^\"]*)\""
    r"|Error (?P<dyno>[RL]\d\d \(.*)"
    r"|[\da-f-]{36} (?P<late>Task timed out after .*)"
    r"|RequestId: [\da-f-]{36} (?P<lambda>(?:Process exited before|Error: ).*)"
    r"|# (?P<jvm>A fatal error has been detected by the Java Runtime Environment.*)"
    r"|(?:\(node:\d+\) )?\[?(?P<node>UnhandledPromiseRejection(?:Warning)?: .*)"
    r"|Rack app \(.*?\): #<(?P<rack>[A-Z][\w:]*: .*)>$"
)
"""How a platform or a runtime says that a process, or a request of it, has died: without a level."""
ROUTINE = re.compile(
    r"at=info |(?:START|END|REPORT|INIT_START) |(?:PLAY|TASK|RUNNING HANDLER) [\[R]|(?:ok|changed|skipping): \["
)
"""What Heroku's router and AWS Lambda write about every request, and Ansible about every task."""

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
    if text.startswith("PHP ") and (found := PHP.match(text)):
        return PHP_LEVELS.get(found["kind"], "critical"), text[found.end() :], None, PHP_LOGGER, None
    if text[1:3] == ", " and (found := RUBY.match(text)):
        message = text[found.end() :].strip()
        # Rails puts empty records of the same level around an exception.
        level = RUBY_LEVELS[found["letter"]] if message else "debug"
        return level, message, found["time"], found["logger"] or None, found["worker"]
    if text[4:6] == ": " and (found := DOTNET.match(text)):
        return DOTNET_LEVELS[found["word"]], "", None, found["logger"], None
    if text[4:5] == "[" and (found := LOGRUS.match(text)):
        return (
            LOGRUS_LEVELS[found["word"]],
            with_cause(found["message"], cause(found["fields"] or "")),
            None,
            None,
            None,
        )
    return (_dated(text) if text[:1].isdigit() else None) or _reported(text) or _platform(text)


def _reported(text: str) -> Said | None:
    """Read what Erlang puts above a report, and Ansible before the answer of a host."""
    if text[0] == "=" and (found := ERLANG.match(text)):
        return ERLANG_LEVELS.get(found["word"], "error"), "", found["time"], None, None
    if text[0] == "f" and (found := ANSIBLE.match(text)):
        return "error", f"{found['word'] or 'FAILED'}: {found['message']}", None, None, None
    return None


def _platform(text: str) -> Said | None:
    """Read what a platform says of a process; it names no level."""
    if found := DEATHS.match(text):
        message = found[found.lastgroup or 0]
        return "critical", f"{found['code']} {message}" if found["code"] else message, None, None, None
    return ("info", text, None, None, None) if ROUTINE.match(text) else None


def _dated(text: str) -> Said | None:
    """Records whose times no other logger writes."""
    if found := LOGCAT.match(text):
        return LOGCAT_LEVELS[found["letter"]], text[found.end() :], None, found["logger"], found["worker"]
    if found := BLUE_GENE.match(text):
        return BLUE_GENE_LEVELS[found["word"]], text[found.end() :], None, found["logger"], None
    return None
