"""The exception behind a failed test, found in a service's log; and tracebacks without library frames."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECTION = "exception in "  # the beginning of the title of a report's section with a service's exception
_BEGINS = "Traceback (most recent call last):"
_HEAD = re.compile(r"Traceback \(most recent call last\)")
_IN_ONE_LINE = ("Traceback (most recent call last):\\n", '"exc_type"', '"stack_trace"')
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*Traceback \((?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*Traceback \((?:[^'\\]|\\.)*'""")
_BAR = re.compile(r"^\s*[|│]\s?")  # of an exception group, or of a traceback that `rich` draws
_FRAME = re.compile(r'^(?P<indent>\s*)(?:> )?File "(?P<file>[^"]+)", line (?P<line>\d+)')
_RICH_FRAME = re.compile(r"^(?P<file>\S.*?\.py):(?P<line>\d+) in ")
_RAISED = re.compile(r"^(?P<kind>[A-Za-z_](?:\w|\.(?:<locals>)?)*)(?:: (?P<said>.*))?$")
_LEVELS = {"TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"}
_ENDINGS = {"CancelledError", "KeyboardInterrupt", "SystemExit", "GeneratorExit"}  # the exceptions of a normal stop
_LIBRARIES = ("/site-packages/", "/dist-packages/", "/lib/python3")
_STANDARD = f"{Path(json.__file__).parents[1]}/"
_MESSAGE_CHARACTERS = 200
_SHOWN_LINES = 60


@dataclass(frozen=True, kw_only=True)
class Raised:
    """An exception in a log: its class without module, its first line, its place in the project, its traceback."""

    kind: str
    said: str
    place: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        said = f"{self.kind}: {self.said}" if self.said else self.kind
        return f"{said[:_MESSAGE_CHARACTERS]}{f' ({self.place})' if self.place else ''}"


def last_exception(lines: Sequence[str], root: Path) -> Raised | None:
    """Find the last exception in the lines of a log, apart from the one that ends a stopped service.

    Python, rich, loguru or a logger of JSON may have written it; files are named as seen from `root`.
    """
    found = None
    spread = list(_spread(lines))
    for start in (number for number, line in enumerate(spread) if _HEAD.search(line)):
        raised = _raised(spread[start:], root)
        found = raised if raised is not None and raised.kind not in _ENDINGS else found
    return found


def _spread(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of each traceback separately, also if a logger joined or prefixed them."""
    cut = 0
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        head = _HEAD.search(line)
        if any(mark in line for mark in _IN_ONE_LINE) and (inner := list(_inner(line))):
            yield from inner
        elif head and _FRAME.match(following[head.start() :]):
            cut = head.start()  # of a time, or of a process's name as honcho writes it
            yield line[cut:]
        elif cut and not _BAR.match(line):
            yield line[cut:]
            cut = cut if line[cut : cut + 1].isspace() else 0  # the exception itself ends it
        else:
            yield line


def _inner(line: str) -> Iterator[str]:
    """Yield the lines of tracebacks inside a JSON line, or inside a quoted text (logfmt, a `repr`)."""
    try:
        yield from (part for text in _texts(json.loads(line[line.index("{") :])) for part in text.splitlines())
    except (ValueError, RecursionError):
        if found := _QUOTED.search(line):
            text = found[0][1:-1]
            for escaped, meant in (("\\n", "\n"), ('\\"', '"'), ("\\'", "'"), ("\\\\", "\\")):
                text = text.replace(escaped, meant)
            yield from text.splitlines()


def _texts(value: Any) -> Iterator[str]:
    """Yield tracebacks from a logger's JSON: texts, structlog's frames, ECS fields."""
    if isinstance(value, str) and _HEAD.search(value):
        yield value
    elif isinstance(value, list):
        for inner in reversed(value):  # structlog begins with the last exception of a chain
            yield from _texts(inner)
    elif isinstance(value, dict) and "exc_type" in value and isinstance(value.get("frames"), list):
        yield _of_frames(value)
    elif isinstance(value, dict):
        if isinstance(stack := value.get("stack_trace"), str) and "type" in value and not _HEAD.search(stack):
            yield f"{_BEGINS}\n{stack.rstrip()}\n{value['type']}: {value.get('message')}"
        for inner in value.values():
            yield from _texts(inner)


def _of_frames(fields: dict[str, Any]) -> str:
    """Compose the traceback that structlog gives as a list of frames."""
    frames = [frame for frame in fields["frames"] if isinstance(frame, dict)]
    places = [f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in f' for frame in frames]
    return "\n".join([_BEGINS, *places, f"{fields['exc_type']}: {fields.get('exc_value')}"])


def _raised(lines: Sequence[str], root: Path) -> Raised | None:
    """Parse the exception of the traceback that begins at the first line; None if it is incomplete."""
    place = ""
    for number, whole in enumerate(lines[1:], 1):
        line = _BAR.sub("", whole).rstrip(" │")
        if _HEAD.search(line):
            return None  # an exception group: the exception in it counts
        if (frame := _FRAME.match(line) or _RICH_FRAME.match(line)) and not is_library(frame["file"]):
            place = f"{_seen_from(root, frame['file'])}:{frame['line']}"
        if (found := _RAISED.match(line)) and not _BAR.match(whole.replace("|", " ")):
            if found["kind"] in _LEVELS:
                return None  # the next thing that was logged
            return Raised(
                kind=found["kind"].rpartition(".")[2],
                said=(found["said"] or "").strip(),
                place=place,
                lines=tuple(fold(lines[: number + 1])[-_SHOWN_LINES:]),
            )
    return None


def is_library(file: str) -> bool:
    """Return whether a frame lies outside of the project: in an installed package, in Python, or in no file."""
    return file.startswith(("<", _STANDARD)) or any(mark in file for mark in _LIBRARIES)


def _seen_from(root: Path, file: str) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name if path.is_absolute() else file


def fold(lines: Sequence[str]) -> list[str]:
    """Fold each series of library frames into one line; a traceback of library frames alone stays whole."""
    folded: list[str] = []
    hidden: list[str] = []
    kept: list[str] = []
    for line, file in _by_frame(lines):
        if file and is_library(file):
            kept.append(line)
            hidden += [file] if _FRAME.match(_BAR.sub("", line)) else []
            continue
        folded += _folded(kept, hidden)
        kept, hidden = [], []
        folded.append(line)
    return folded + _folded(kept, hidden)


def _by_frame(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each line with its frame's file; the file is empty outside of tracebacks with project frames."""
    file, indent, mixed = "", 0, False
    for number, line in enumerate(lines):
        bare = _BAR.sub("", line)
        if _HEAD.search(line):
            mixed, file = _is_mixed(lines[number + 1 :]), ""
        elif found := _FRAME.match(bare):
            file, indent = (found["file"], len(found["indent"])) if mixed else ("", 0)
        elif bare.strip() and len(bare) - len(bare.lstrip()) < max(indent, 1):
            file = ""
        yield line, file


def _is_mixed(lines: Sequence[str]) -> bool:
    """Return whether a traceback has frames of the project."""
    for line in lines:
        bare = _BAR.sub("", line)
        if (found := _FRAME.match(bare)) and not is_library(found["file"]):
            return True
        if _HEAD.search(line) or _RAISED.match(bare):
            return False
    return False


def _folded(kept: list[str], hidden: list[str]) -> list[str]:
    """The line that replaces several frames; a single frame stays as it is."""
    if len(hidden) < 2:
        return kept
    names = dict.fromkeys(_library(file) for file in hidden)
    indent = kept[0][: len(kept[0]) - len(kept[0].lstrip(" |"))]
    return [f"{indent}… {len(hidden)} frames of {', '.join(names)}"]


def _library(file: str) -> str:
    """The package to which a library's file belongs."""
    for mark in _LIBRARIES[:2]:
        if mark in file:
            return Path(file.rpartition(mark)[2]).parts[0].removesuffix(".py")
    return "Python"
