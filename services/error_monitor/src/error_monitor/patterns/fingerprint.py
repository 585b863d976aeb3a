"""The name of a pattern: a hash of what stays the same from one occurrence to the next, and why.

Version 1: the bare type, the place that raised (the innermost own frame without its line number) and the message with
its variable parts masked. What a message says about data, not about the fault, counts only where no frame is known.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass

from error_monitor.patterns import templates
from error_monitor.patterns.masking import CHARS, masked
from error_monitor.reading.event import Event, Failure, Frame
from error_monitor.reading.heads import CODES

VERSION = "v1"
ANYWHERE = re.compile(
    r"^(?:app|src|code|task|current|releases?|srv|opt|home|workspace|build|lib|python|www|html|root|deploy|var)$|\d"
)
"""Folders that name a deployment, not a module."""
INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")
"""Frames of their own in some versions of Python and not in others."""
COUNTED = re.compile(r"(?:(?<=[$:|])|(?<=[a-z>]__)|(?<=\.func)|(?<=func\d\.)|(?<=DisplayClass))\d[\d_]*")
"""Compilers number closures and state machines of a file: each new one moves the others."""
BUNDLED = re.compile(r"(?:(?<=[.-])(?=\w*\d)\w{6,}|^\d+)(?=\.[cm]?js$)")
"""The part of a script's name that a build makes of its content."""
MINIFIED = 2
DATA_TYPES = re.compile(
    r"(?:JSONDecodeError|Unicode\w*Error|SyntaxError|IndentationError|TabError|RecursionError|MemoryError|BadZipFile|ExpatError|CSVError)$"
)
"""What these say depends on the data at hand or on Python's version."""
ADVICE = re.compile(r"\sFor (?:more|further) information.*", re.DOTALL)
UNPACKED = re.compile(r"(?:not enough|too many) values to unpack.*")
INVALID = re.compile(r"(?<!\d)\d{1,6} validation errors? for ")
ATTRIBUTE = re.compile(
    r"has no attribute '(\w+)'|Cannot (?:read|set) propert(?:ies of (?:undefined|null) \(\w+ing|y) '(\w+)'"
)
NAMES = re.compile(r"(?:NameError|UnboundLocalError|ImportError|ModuleNotFoundError)$")
NAME = re.compile(r"'([\w.]+)'")
SETTING = re.compile(r"'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)'$")
STATUS = re.compile(r"(?P<lead>(?<![\w.:/-]))(?P<class>[45])(?P<rest>\d\d)(?![\w/-]|\.\d)")
SAID_STATUS = re.compile(
    r"(?P<lead>\b(?i:status(?: code)?|code|http(?:/\d(?:\.\d)?)?|returned|responded|responded with|response)[ :=]{1,2})"
    r"(?P<class>[45])(?P<rest>\d\d)(?![\w/%-]|\.\d)"
)
"""In any other message, only where a word says that it is one."""
PHRASES = re.compile(r"(?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)(?=\W|$)")
STATUS_TYPES = re.compile(r"HTTP|Status|Response|Client|API|Request")
REASON = re.compile(
    r"\n[ #|*]*(?:[Ee]xception|[Rr]eason|MESSAGE|Message|Problematic frame)\s*[:=]\s*(?:\n#\s*)?(\S[^\n]*)"
)
"""How a report names what has happened, below its first line: Dask's, Erlang's, the JVM's."""
ANNOUNCED = re.compile(r"\A([^\n]*):\n(?:#?[ \t]*\n)*[ #|]*(?=[A-Za-z<])")
WORDS = re.compile(r"[^\W\d_]{3}")
LEAVES = 20
FOREIGN = re.compile(r"\.(?:java|kt|scala|groovy|[cm]?[jt]sx?|cs)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """The name of a pattern, the reason in words, and the parts that were hashed."""

    key: str
    reason: str
    parts: tuple[str, ...]


def fingerprint(event: Event) -> Fingerprint:
    """Name the pattern of an event."""
    if event.failure is None or (event.failure.type is None and not event.failure.frames):
        said = masked(SAID_STATUS.sub(_status, _reasoned(event.message or event.header or event.text)))
        return _made(("message", said), f"no exception: the message without its variable parts, {said!r}")
    parts, reason = _of(event.failure)
    return _made(parts, reason)


def _reasoned(said: str) -> str:
    """The first line of a message, with the reason below it where that line only announces a report."""
    if "\n" not in said:
        return said
    first, _, rest = said.partition("\n")
    if CODES.match(first) or not WORDS.search(masked(first)):
        return f"{first} {rest}".replace("\n", " ")
    reason = REASON.search(said, len(first), len(first) + CHARS)
    return f"{first}: {reason[1]}" if reason else ANNOUNCED.sub(r"\1: ", said)


def _made(parts: tuple[str, ...], reason: str) -> Fingerprint:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
    return Fingerprint(key=f"{VERSION}:{digest[:24]}", reason=reason, parts=parts)


def _of(failure: Failure) -> tuple[tuple[str, ...], str]:
    """The parts that name an exception, and why these."""
    kind = (failure.type or "?").rpartition(".")[2]
    if failure.source and not (failure.source.startswith("<") and _place(failure, kind)):
        return ("syntax", kind, _module(failure.source)), f"{kind} in {_module(failure.source)}"
    if failure.members:
        leaves = sorted({"\1".join(_of(member)[0]) for member in _leaves(failure)[:LEAVES]})
        return ("group", kind, *leaves), f"{kind} of {len(leaves)} different members"
    if failure.cause is not None and failure.raised_from and _remote(failure, failure.cause):
        parts, reason = _of(failure.cause)
        return parts, f"{reason}, in a pool's worker"
    place = _place(failure, kind)
    message = templates.levelled(failure.message or "", failure.frames)
    said = _distinctive(kind, message, has_place=bool(place))
    parts = ("exception", kind, place, said, *_caused(failure))
    if not place:
        return parts, f"{kind} without an own frame: the message decides, {said!r}"
    return parts, f"{kind} raised in {place}" + (f", saying {said!r}" if said else "")


def _leaves(failure: Failure) -> list[Failure]:
    """The members of a group and of the groups in it."""
    nested = [leaf for member in failure.members for leaf in (_leaves(member) if member.members else [member])]
    return [leaf for leaf in nested if not (leaf.type or "").endswith("ExceptionGroup")] or list(failure.members)


def _caused(failure: Failure) -> tuple[str, ...]:
    """List the errors that an own wrapper wraps: one `raise JobFailed() from error` serves many faults."""
    if failure.cause is None or not failure.raised_from or not failure.frames:
        return ()
    cause = failure.cause
    if any(FOREIGN.search(frame.file) for frame in failure.frames):  # their libraries' wrappers say little, too
        kind, place = (cause.type or "?").rpartition(".")[2], _place(cause, "")
        return ("from", kind, place, _distinctive(kind, cause.message or "", has_place=bool(place)))
    if not failure.frames[-1].in_app:
        return ()
    return ("from", (cause.type or "?").rpartition(".")[2], _place(cause, ""))


def _remote(failure: Failure, cause: Failure) -> bool:
    """Return whether a pool of processes raised the exception of its worker again."""
    first = (cause.message or "").partition("\n")[0]
    return cause.type == failure.type and first == (failure.message or "").partition("\n")[0]


def _place(failure: Failure, kind: str) -> str:
    """The innermost own frame as module and function; of a recursion, the same one wherever it ended."""
    own = [frame for frame in failure.frames if frame.in_app]
    if not own:
        return ""
    if kind == "RecursionError":
        counts = Counter((_module(frame.file), frame.function) for frame in own)
        most = max(counts.values())
        return ":".join(min(place for place, count in counts.items() if count == most))
    module, function = _module(own[-1].file), _function(own)
    is_short = "*" in module and len(function) <= MINIFIED  # as each build names it
    return f"{module}:{'' if is_short else function}"


def _function(own: list[Frame]) -> str:
    """The innermost function. A comprehension counts as the function around it."""
    for frame in reversed(own):
        if frame.file != own[-1].file:
            break
        if frame.function not in INLINED:
            return COUNTED.sub("", frame.function)
    return own[-1].function


def _module(file: str) -> str:
    """The file with its package, without what names the deployment."""
    parts = file.replace("\\", "/").split("/")
    package = parts[-2] if len(parts) > 1 and not ANYWHERE.search(parts[-2]) else ""
    name = BUNDLED.sub("*", parts[-1])
    return f"{package}/{name}" if package else name


def _distinctive(kind: str, message: str, *, has_place: bool) -> str:
    """The part of a message that tells faults apart."""
    message = message[:CHARS]
    if has_place and DATA_TYPES.search(kind):
        return ""
    if kind == "KeyError":
        found = SETTING.match(message)
        return found[1] if found else ("" if has_place else masked(message))
    if kind in ("AttributeError", "TypeError") and (found := ATTRIBUTE.search(message)):
        return found[1] or found[2]
    if NAMES.search(kind) and (found := NAME.search(message)):
        return found[1]
    message = UNPACKED.sub("values to unpack", INVALID.sub("invalid ", ADVICE.sub("", message)))
    if STATUS_TYPES.search(kind):
        message = STATUS.sub(_status, PHRASES.sub("", message))
    return masked(SAID_STATUS.sub(_status, message))


def _status(found: re.Match[str]) -> str:
    """A status counts; among the server's own errors it does not matter which."""
    letters = "abcdefghij"
    rest = "".join(letters[int(digit)] for digit in found["rest"])
    return found["lead"] + ("status server" if found["class"] == "5" else f"status client {rest}")
