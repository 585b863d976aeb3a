"""Exceptions of Perl, Dart and Erlang, and what ends a process of Python or C, as their runtimes print them."""

import itertools
import re
from collections.abc import Sequence

from error_monitor.reading import tracebacks
from error_monitor.reading.event import Failure, Frame, called

PERL = re.compile(
    r"(?!Use(?:less use)? of |Odd number of |Deep recursion |Wide character |Subroutine \S+ redefined|Name \"|\"my\" "
    r"|Argument \"|Possible |Scalar value |Prototype mismatch|Unquoted string )"
    r"(?P<message>.+?) at (?P<file>\S+\.(?:p[lm]|t|cgi|psgi)) line (?P<line>\d+)(?:, <\w*> (?:line|chunk) \d+)?\.$"
)
"""What `die` prints. Perl's own warnings end in the same way, so these begin otherwise."""
PERL_CALL = re.compile(r"\t(?P<function>[\w:]+)\(.*\) called at (?P<file>\S+) line (?P<line>\d+)")
DART = re.compile(r"Unhandled [Ee]xception:\s*(?P<message>.*)$")
DART_TYPE = re.compile(r"(?P<type>\w+(?:Exception|Error))(?:: |$)")
DART_CALL = re.compile(r"#\d+\s+(?P<function>\S.*?) \((?P<file>\S+?\.dart):(?P<line>\d+)(?::\d+)?\)")
ERLANG = re.compile(r"(?:^|\s)(?:\*\* \{\{?(?P<type>[a-z]\w*)|exception (?P<kind>error|exit|throw): (?P<message>.*))")
ERLANG_TERM = re.compile(
    r"\{\w+,(?P<function>\w+|'[^']+'),\d+,\[\{file,\"(?P<file>[^\"]+)\"\},\{line,(?P<line>\d+)\}\]\}"
)
ERLANG_CALL = re.compile(
    r"\sin (?:function|call from) {1,2}\w+:(?P<function>\w+)/\d+ \((?P<file>\S+), line (?P<line>\d+)\)"
)
SANITIZER = re.compile(r"==\d+==ERROR: (?P<type>\w+Sanitizer): (?P<message>[\w -]+?)(?: on | \(|:|$)")
SANITIZER_CALL = re.compile(r"\s+#\d+ 0x[\da-f]+ in (?P<function>\S+).*? (?P<file>/\S+?):(?P<line>\d+)")
CRASHED = re.compile(r"(?P<type>Fatal Python error): (?P<message>.*)$")
CRASHED_CALL = re.compile(r"  File \"(?P<file>[^\"]*)\", line (?P<line>\d{1,9}) in (?P<function>.+)$")
"""Of faulthandler, the innermost call first."""
LIBRARY = re.compile(r"/perl5?/|^dart:|^package:flutter/|^[^/]+\.erl$")
"""Erlang's own files are printed without a folder."""
STACK = re.compile(r"#\d+\s+\S.*? \(\S+?\.dart:\d+|\t[\w:]+\(.*\) called at \S+ line \d+")


def begins(text: str) -> bool:
    """Return whether a line is what Perl's `die` prints."""
    return text.endswith(".") and " line " in text and bool(PERL.match(text))


def read(lines: Sequence[str]) -> Failure | None:
    """Read an exception and its frames, innermost last; None where none of these languages wrote it."""
    return _perl(lines) or _dart(lines) or _erlang(lines) or _sanitized(lines) or _crashed(lines)


def _perl(lines: Sequence[str]) -> Failure | None:
    found = PERL.match(lines[0]) if lines[0].endswith(".") else None
    if found is None:
        return None
    calls = [call for text in lines[1:] if (call := PERL_CALL.match(text))]
    # A call names what was called: its own function stands in the next one.
    names = [*(call["function"] for call in calls), "main"]
    frames = [_frame(place, name) for place, name in zip([found, *calls], names, strict=True)]
    return Failure(type="die", message=found["message"], frames=tuple(reversed(frames)))


def _dart(lines: Sequence[str]) -> Failure | None:
    found = DART.search(lines[0])
    calls = [(at, call) for at, text in enumerate(lines) if (call := DART_CALL.match(text))]
    if found is None or not calls:
        return None
    said = found["message"] or "\n".join(lines[1 : calls[0][0]])
    named = DART_TYPE.match(said)
    frames = tuple(_frame(call, call["function"]) for _, call in reversed(calls))
    return Failure(
        type=named["type"] if named else "exception", message=said[named.end() :] if named else said, frames=frames
    )


def _erlang(lines: Sequence[str]) -> Failure | None:
    calls = [call for text in lines for call in (*ERLANG_TERM.finditer(text), *ERLANG_CALL.finditer(text))]
    found = next((found for text in lines if (found := ERLANG.search(text))), None) if calls else None
    if found is None:  # without its calls, the words are those of any message
        return None
    frames = tuple(_frame(call, call["function"]) for call in reversed(calls))
    return Failure(type=found["type"] or found["kind"], message=found["message"] or "", frames=frames)


def _sanitized(lines: Sequence[str]) -> Failure | None:
    """Read where the fault is; the stacks below it show where the memory came from."""
    found = SANITIZER.match(lines[0])
    if found is None:
        return None
    own = lines[: next((at for at, text in enumerate(lines[3:], 3) if not text.startswith("    #")), len(lines))]
    calls = [call for text in own if (call := SANITIZER_CALL.match(text))]
    frames = tuple(_frame(call, call["function"]) for call in reversed(calls))
    return Failure(type=found["type"], message=found["message"], frames=frames)


def _crashed(lines: Sequence[str]) -> Failure | None:
    """Read the stack of the thread in which Python crashed; those of the other threads follow."""
    found = CRASHED.match(lines[0])
    first = next((at for at, text in enumerate(lines) if CRASHED_CALL.match(text)), 0)
    if found is None or not first:
        return None
    calls = list(itertools.takewhile(bool, map(CRASHED_CALL.match, lines[first:])))
    frames = [tracebacks.frame(call["file"], call["function"], int(call["line"])) for call in calls if call]
    return Failure(type=found["type"], message=found["message"], frames=tuple(reversed(frames)))


def _frame(place: re.Match[str], function: str) -> Frame:
    return called(place["file"], function, place["line"], own=not LIBRARY.search(place["file"]))
