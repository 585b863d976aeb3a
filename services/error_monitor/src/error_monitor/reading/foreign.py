"""Stacks of other languages that write into the same logs: Java, JavaScript, Go, Rust, and those of `languages`."""

import re
from collections.abc import Sequence
from itertools import pairwise

from error_monitor.reading import languages, runtimes, tracebacks
from error_monitor.reading.event import Failure, Frame, called

NAMED = re.compile(
    r"(?:Exception in thread \"[^\"]*\" |(?:error: )?Uncaught (?:\(in promise\) )?|Unhandled )?"
    r"(?<![\w.$])(?P<type>(?:[A-Za-z_$][\w$]*(?:\.[\w$]+)*?)?\.?(?:Error|Exception|Throwable)|(?<=promise\) )[A-Z]\w*)"
    r"(?: [\[(]\w+[\])])?(?::(?: (?P<message>.*))?|)$"
    r"|(?:fatal error: |SIGQUIT: |panic: |http: panic serving \S+: |thread '[^']*' (?:\(\d+\) )?panicked at )"
    r"(?P<panic>.*)$"
)
THROWN = re.compile(
    r"(?:Exception in thread \"[^\"]*\" )?(?P<type>(?:[a-z_]\w*\.)+[A-Z][\w$]*)(?::(?: (?P<message>.*))?)?(?P<panic>)$"
)
"""Above a stack of Java's, a name is that of an exception, whatever it ends in."""
PANIC = re.compile(
    r"(?:java\.lang\.OutOfMemoryError: |panic: |http: panic serving |SIGQUIT: quit$"
    r"|fatal error: (?:all goroutines|concurrent map|stack overflow|runtime: |unexpected signal|sync: )"
    r"|thread '[^']*' (?:\(\d+\) )?panicked at )"
)
RUST = re.compile(r"thread '[^']*' (?:\(\d+\) )?panicked at (?:'(?P<message>.*)', )?\S+:\d+:\d+(?P<below>:)?$")
"""Its message stands before the place, or since 1.73 on the next line."""
JAVA = re.compile(
    r"\s+at (?:[\w$.@-]*/)*(?P<function>[\w$.<>]+)"
    r"\((?P<file>[\w$.-]+\.\w+|Native Method|Unknown Source)(?::(?P<line>\d+))?\)"
)
FIREFOX = re.compile(r"(?P<function>[\w$.*/<> ]*)@(?P<file>(?:https?|file|app|webpack)://\S+?):(?P<line>\d+):\d+$")
"""Safari prints it in the same way."""
NODE = re.compile(
    r"\s+at (?:async )?(?:(?P<function>.+?) \()?(?P<file>(?:file://|node:)?[^\s()]+?):(?P<line>\d+):\d+\)?(?: \{)?\s*$"
)
GENERATED = ("Unknown Source", "Native Method")
"""Where Java has no file: proxies and lambdas, which have other names in each process."""
GO_CALL = re.compile(r"(?P<function>[\w./*()-]+)\((?:0x|\.\.\.|\{|\)).*$|(?P<plain>[\w./*()-]+?)(?:\(\))?$")
GIN = re.compile(r"\[Recovery\] .*panic recovered:$")
GIN_PLACE = re.compile(r"(?P<file>/\S+\.go):(?P<line>\d+) \(0x[0-9a-f]+\)$")
GO_PLACE = re.compile(r"(?:\t|\s{4,8})(?P<file>/\S+\.go):(?P<line>\d+)")
RUST_CALL = re.compile(r"\s+\d+: +(?:0x[\da-f]+ - )?(?P<function>[\w:<>{}$., &*]+?)(?:::h[\da-f]{16})?$")
RUST_PLACE = re.compile(r"\s+at (?P<file>\S+\.rs):(?P<line>\d+)(?::\d+)?\s*$")
STACK = re.compile(
    r"\s+at .+|Caused by:|\s*\.\.\. \d+ (?:more|common frames)|\s+Suppressed: |\s+---> |goroutine \d+ \["
    rf"|[\w$.*/<> ]*@(?:https?|file|app|webpack)://\S+:\d+:\d+$|{languages.STACK.pattern}|{runtimes.STACK.pattern}"
)
MORE = re.compile(
    r"\s+at |\s+(?:\.\.\. \d+|Suppressed:|---)|Caused by:|goroutine \d+|\t|created by |\[signal |note: |\S+\.rb:\d+:in "
    r"|[\w$.*/<> ]*@\w+://|\[native code\]$|runtime stack:|runtime\.|r\w\w? +0x|PC=0x|\.\.\.additional frames"
    r"|\S+\.(?:erb|haml|slim|rake|ru):\d+:in "
    r"|\s+/\S+\.(?:go|s):\d+ |[Ss]tack backtrace:|\s+\d+: |\[?originating from|[\w./*]+\(.*\)$|#\d+\s"
)
CAUSES = ("Caused by: ", "[cause]: ", "cause: ", "---> ")
INNER_ENDS = "--- End of inner exception"
STACK_ENDS = (*CAUSES, "[errors]: ", INNER_ENDS)
LIBRARY = re.compile(
    r"^(?:java|javax|jakarta|jdk|sun|kotlinx?|scala|akka|reactor|groovy|clojure|okhttp3|feign|redis\.clients|ch\.qos"
    r"|org\.(?:springframework|apache|hibernate|eclipse|junit|postgresql|mariadb|h2|jooq|flywaydb|quartz|codehaus"
    r"|aspectj|glassfish|jboss|redisson|thymeleaf)"
    r"|io\.(?:netty|lettuce|undertow|vertx|grpc|ktor|reactivex|micronaut|micrometer|opentelemetry|r2dbc)"
    r"|com\.(?:sun|zaxxer|fasterxml|mysql|mongodb|microsoft|google|amazonaws|rabbitmq|datastax|squareup|netflix))\."
    r"|node_modules/|^node:|^internal/|/usr/local/go/src/|/pkg/mod/|^runtime\.|^/rustc/|/\.cargo/"
)


def stacked(text: str) -> bool:
    """Return whether a line goes on with a stack."""
    return bool(MORE.match(text))


def framed(text: str) -> bool:
    """Return whether a line is a frame of Java, JavaScript or .NET beyond doubt, with its place."""
    found = _frame(text)
    return found is not None and found.line is not None


def read(lines: Sequence[str]) -> Failure | None:
    """Read the exception and its frames, innermost last; None where there is no stack of another language."""
    for reader in (_rust, languages.read, runtimes.read, _gin):
        if failure := reader(lines):
            return failure
    if not any(STACK.match(text) or GO_PLACE.match(text) for text in lines) and not PANIC.match(lines[0]):
        return None
    return _python(lines) or _thrown(lines)


def _thrown(lines: Sequence[str]) -> Failure | None:
    """Read what the JVM, JavaScript, .NET and Go print: a line with the name, and the frames below it."""
    name = _name(lines)
    own = lines[_start(lines) :]
    frames = _go(lines) or [frame for text in own[: _end(own)] if (frame := _frame(text))]
    if name is None and not frames:
        return None
    kind = (name["type"] or "panic") if name else None
    message = (name["message"] or name["panic"] or "") if name else None
    root = _root(lines)
    return Failure(type=kind, message=message, frames=tuple(reversed(frames)), cause=root, raised_from=root is not None)


def _root(lines: Sequence[str]) -> Failure | None:
    """The last of the causes, from which all others came: what the first one says may serve many faults."""
    at = max((at for at, text in enumerate(lines) if text.lstrip().startswith(CAUSES)), default=0)
    found = NAMED.search(lines[at].rstrip(" {")) if at else None
    if found is None:
        return None
    below = lines[at + 1 :]
    frames = [frame for text in below[: _end(below)] if (frame := _frame(text))]
    return Failure(type=found["type"], message=found["message"] or "", frames=tuple(reversed(frames)))


def whole(text: str) -> bool:
    """Return whether a text is an exception of another language with its stack, as a record of JSON carries it."""
    first, _, rest = text.partition("\n")
    return bool(NAMED.match(first)) and any(STACK.match(line) for line in rest.split("\n", 20)[:20])


def _name(lines: Sequence[str]) -> re.Match[str] | None:
    """The line that names the exception: alone on a line below the header, else within the header."""
    alone = next((found for text in lines[1:] if (found := NAMED.match(text))), None)
    above = next((found for text, call in pairwise(lines) if JAVA.match(call) and (found := THROWN.match(text))), None)
    return alone or above or next((found for text in lines if (found := NAMED.search(text))), None)


def _python(lines: Sequence[str]) -> Failure | None:
    """Parse the traceback of a Python worker inside the message of Spark's JVM exception."""
    for at, text in enumerate(lines[:3]):
        if text.endswith(": Traceback (most recent call last):"):
            end = next((end for end in range(at + 1, len(lines)) if STACK.match(lines[end])), len(lines))
            return tracebacks.read(["Traceback (most recent call last):", *lines[at + 1 : end]])
    return None


def _start(lines: Sequence[str]) -> int:
    """Find the line where .NET prints the outer exception's own stack, below that of the inner one."""
    return max((at + 1 for at, text in enumerate(lines) if INNER_ENDS in text), default=0)


def _end(lines: Sequence[str]) -> int:
    """Find the line where the first exception's own stack ends."""
    return next((at for at, text in enumerate(lines) if text.lstrip().startswith(STACK_ENDS)), len(lines))


def _frame(text: str) -> Frame | None:
    found = JAVA.match(text) or NODE.match(text) or FIREFOX.match(text)
    if found is None:
        return languages.dotnet(text)
    function, file = found["function"] or "", found["file"]
    own = file not in GENERATED and not LIBRARY.search(function) and not LIBRARY.search(file)
    return called(file, function, found["line"], own=own)


def _rust(lines: Sequence[str]) -> Failure | None:
    """Rust prints a call and its place on two lines."""
    panic = RUST.match(lines[0])
    if panic is None:
        return None
    frames = [
        called(where["file"], who["function"], where["line"], own=not LIBRARY.search(where["file"]))
        for call, place in pairwise(lines)
        if (where := RUST_PLACE.match(place)) and (who := RUST_CALL.match(call))
    ]
    message = panic["message"] or "".join(lines[1:2])
    return Failure(type="panic", message=message, frames=tuple(reversed(frames)))


def _gin(lines: Sequence[str]) -> Failure | None:
    """Parse what Gin's recovery prints: the request, a blank line, the panic, and each place above its call."""
    first = next((at for at, text in enumerate(lines) if GIN_PLACE.match(text)), 0)
    if not first or not any(GIN.search(text) for text in lines[:3]):
        return None
    frames = [
        called(where["file"], call.strip().partition(":")[0], where["line"], own=not LIBRARY.search(where["file"]))
        for place, call in pairwise(lines[first:])
        if (where := GIN_PLACE.match(place))
    ]
    return Failure(type="panic", message=lines[first - 1], frames=tuple(reversed(frames)))


def _go(lines: Sequence[str]) -> list[Frame]:
    """Go prints a call and its place on two lines."""
    frames = []
    for call, place in pairwise(lines):
        where, who = GO_PLACE.match(place), GO_CALL.match(call)
        if where and who:
            function = who["function"] or who["plain"]
            own = not LIBRARY.search(where["file"]) and not LIBRARY.search(function)
            frames.append(called(where["file"], function, where["line"], own=own))
    panicked = max((at + 1 for at, frame in enumerate(frames) if frame.function == "panic"), default=0)
    return frames[panicked:]  # above stand the handlers that caught it
