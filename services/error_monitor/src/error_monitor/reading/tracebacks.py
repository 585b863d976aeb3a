"""Parser of printed tracebacks: type, message and frames of the exception that is printed last."""

import re
from collections.abc import Sequence
from dataclasses import replace

from error_monitor.reading.event import Failure, Frame

START = re.compile(r"(?P<bars>[ \t|]*)(?P<group>\+ Exception Group )?Traceback \(most recent call last\):\s*$")
START_WITHIN = re.compile(r"(?P<group>\+ Exception Group )?Traceback \(most recent call last\):\s*$")
FRAME = re.compile(r'[\s>|]*File "(?P<file>[^"]*)", line (?P<line>\d+)(?:, in (?P<function>.+?))?\s*$')
CUT_FRAME = re.compile(r'[ |]*File "[^"]*", line \d+(?:, in .+)?$')
FAILURE = re.compile(r"(?P<type>[A-Za-z_]\w*(?:\.(?:\w+|<locals>))*)(?::(?: (?P<message>.*)|\s*$)|\s*$)", re.DOTALL)
CAUSED = "The above exception was the direct cause of the following exception:"
CHAIN = re.compile(
    rf"[ |]*(?:{CAUSED}"
    r"|During handling of the above exception, another exception occurred:)\s*$"
)
REMOTE = re.compile(r"(?:[\w.]+\.)?_?RemoteTraceback:\s*$")
"""What a process pool prints before the traceback of its worker, in quotes."""
MEMBER = re.compile(r"(?P<bars>[ |]*)\+[+-]*-+ (?:\d+|\.\.\.) -+\s*$")
CLOSED = re.compile(r"[ |]*\+-+\s*$")
BARS = re.compile(r"\s*\| ?")
BOX_TOP = re.compile(r"[╭┌+][─-]+ ?Traceback \(most recent call last\) ?[─-]+[╮┐+]\s*$")
BOX_ROW = re.compile(r"[│|] (.*?)\s*[│|]?\s*$")
BOX_FRAME = re.compile(r"(?P<file>\S.*?):(?P<line>\d+) in (?P<function>\S.*)$")
BOX_CODE = re.compile(r"(?:❱|>)\s*\d+ (.*)$")
BOX_FRAME_CUT = re.compile(r"(?:\S.*?):\d+ in$")
BOX_MEMBER = re.compile(r"[╭┌+][─-]+ Sub-exception #\d+ [─-]+")
BOX_EDGES = re.compile(r"^(?:[│|] )+|(?: [│|])+\s*$")
BOX_CHARS = "╭│╰├┌└|+"
BOX_ENDS = "╰└"
BOX_TOPS = "╭┌"
BOX_DRAWN = frozenset("╭│╰┌└")
BOX_INSIDE = frozenset(BOX_CHARS) - set(BOX_ENDS)
BELOW_ALL = ("Call stack:", "Stack (most recent call last):")
LOGURU_ENDS = "--- End of logging error ---"
NOT_MESSAGE = (*BELOW_ALL, "[NOTE] ", LOGURU_ENDS)
FOREIGN = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python\d[\d.]*[/\\]|^<|[/\\]Python3\d*[/\\]Lib[/\\]",
    re.IGNORECASE,
)
ABSOLUTE = re.compile(r"/|[A-Za-z]:[/\\]")
COMPILED = re.compile(r"\w+\.\w")
"""Cython names a function with its module, and its file relative to where it was built."""
TYPELIKE = re.compile(r"(?:[\w<>]+\.)+\w+$|[A-Z]\w*$|\w*(?:error|exception)$")
BELOW = re.compile(r"(?m)^[ \t]*(?:\+ Exception Group )?Traceback \(most recent call last\):[ \t]*\n")
"""Where a traceback begins on a line of its own, below other lines of a text."""
ESCAPED = re.compile(r"(?: *\+ Exception Group )?Traceback \(most recent call last\):(?P<newline>\\n|#012)\s")
ESCAPE = re.compile(r"\\([n'\"\\])")
MEMBERS = 50
CAUSES = 5


def opening(text: str) -> str | None:
    """The phase that a line begins: `frames`, `group`, `box`, or None where it opens no traceback."""
    if "most recent call last" not in text:  # told faster than by the patterns: most lines end here
        return None
    if found := START.match(text):
        return "group" if found["group"] or "|" in found["bars"] else "frames"
    return "box" if BOX_TOP.match(text.strip()) else None


def unescaped(text: str) -> str | None:
    """The traceback in a line whose line ends are escaped: logfmt, rsyslog, a repr."""
    found = ESCAPED.search(text)
    if found is None:
        return None
    quote = text[found.start() - 1] if found.start() else ""
    inner = text[found.start() :]
    if quote in ('"', "'"):
        inner = re.split(rf"(?<!\\){quote}", inner, maxsplit=1)[0]
    if found["newline"] == "\\n":
        return ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], inner).rstrip()
    return inner.replace(found["newline"], "\n").rstrip()


def failure_line(text: str) -> bool:
    """Return whether a line is `Type: message` or a bare type, as it stands below the frames."""
    found = FAILURE.match(text)
    return found is not None and (found["message"] is not None or bool(TYPELIKE.match(found["type"])))


def typed(text: str) -> bool:
    """Return whether a line begins with what looks like the name of an exception."""
    found = FAILURE.match(text)
    return found is not None and bool(TYPELIKE.match(found["type"]))


def flat(text: str) -> bool:
    """Return whether a line is a frame whose indent a collector has taken off; the next one is its source."""
    return text.startswith('File "') and bool(FRAME.match(text))


def frame(file: str, function: str | None, line: int | None, code: str | None = None) -> Frame:
    """A frame. The standard library and installed packages are not the application."""
    compiled = not ABSOLUTE.match(file) and (file.endswith((".pyx", ".pxd")) or COMPILED.match(function or ""))
    in_app = not compiled and not FOREIGN.search(file)
    return Frame(file=file, function=function or "", line=line, in_app=in_app, code=code)


def read(lines: Sequence[str], depth: int = 0) -> Failure | None:
    """Read the traceback in these lines, or None where they hold none."""
    lines = _at_margin(lines)
    failure = _last(lines)
    if failure is None or depth >= CAUSES:
        return failure
    chained = max((at for at, text in enumerate(lines) if _chains(text)), default=-1)
    if chained < 0:
        return failure
    cause = read(lines[:chained], depth + 1)
    if cause is None or cause.type is None:
        return failure
    return replace(failure, cause=cause, raised_from=lines[chained].startswith(CAUSED))


def _at_margin(lines: Sequence[str]) -> Sequence[str]:
    """Lines without the indent that all of a traceback has; a group's own stands for its depth."""
    first = next((at for at, text in enumerate(lines) if _opens(text)), -1)
    found = START.match(lines[first]) if first >= 0 else None
    return dedented(lines, first) if found and not found["group"] else lines


def _chains(text: str) -> bool:
    """Return whether a line stands between two exceptions of a chain, outside any group."""
    return text.startswith((CAUSED, "During handling of the above")) and bool(CHAIN.match(text))


def _last(lines: Sequence[str]) -> Failure | None:
    """Read the exception that is printed last."""
    start = max((at for at, text in enumerate(lines) if _opens(text)), default=-1)
    if start >= 0 and BOX_TOP.match(lines[start].strip()):
        return _boxed(lines, start)
    found = START.match(lines[start]) if start >= 0 else None
    if found and found["group"]:
        return _group(lines[start + 1 :])
    return _plain(dedented(lines, start)[start + 1 :] if start >= 0 else lines)


def dedented(lines: Sequence[str], start: int) -> Sequence[str]:
    """Lines without the indent that the first line of the traceback has."""
    indent = indent_of(lines[start])
    return [text[indent:] if not text[:indent].strip() else text for text in lines] if indent else lines


def indent_of(text: str) -> int:
    """Measure a line's indentation."""
    return len(text) - len(text.lstrip(" \t"))


def _opens(text: str) -> bool:
    """Return whether a line opens a traceback that is not inside an exception group."""
    if "most recent call last" not in text:
        return False
    found = START.match(text)
    return "|" not in found["bars"] if found else bool(BOX_TOP.match(text.strip()))


def _plain(lines: Sequence[str]) -> Failure | None:
    """Frames, then `Type: message` at the margin. Without that line, type and message stay None."""
    frames: list[Frame] = []
    source = None
    for at, text in enumerate(lines):
        if not text or text[0] in " \t>" or flat(text):
            if "File " in text and (found := FRAME.match(text)):
                if found["function"] is None:
                    source = found["file"]
                else:
                    frames.append(frame(found["file"], found["function"], int(found["line"]), _code(lines, at)))
        elif found := (FAILURE.match(text) if typed(text) or not flat(lines[at - 1]) else None):
            return Failure(
                type=found["type"],
                message=_message(found["message"] or "", lines[at + 1 :]),
                frames=tuple(frames),
                source=source,
            )
        elif not frames and not flat(lines[at - 1]):
            break
    return Failure(frames=tuple(frames), source=source) if frames or source else None


def _code(lines: Sequence[str], at: int) -> str | None:
    """The source below a frame's line."""
    below = lines[at + 1] if at + 1 < len(lines) else ""
    return below.strip() if below.startswith("    ") and not FRAME.match(below) else None


def _message(first: str, rest: Sequence[str]) -> str:
    """A message and the lines that go on with it; what else is printed after it does not belong to it."""
    lines = [first]
    for text in rest:
        if text.startswith(NOT_MESSAGE) or CHAIN.match(text):
            break
        lines.append(text)
    return "\n".join(lines).rstrip()


def _group(lines: Sequence[str]) -> Failure | None:
    """An exception group: its own frames and message, and its members' leaves."""
    depth, own, members, current = 0, [], list[list[str]](), list[str]()
    for text in lines:
        if MEMBER.match(text):
            depth = 1
            current = []
            members.append(current)
            continue
        if CLOSED.match(text):
            continue
        content = BARS.sub("", text, count=1)
        if depth == 0:
            own.append(content)
        else:
            current.append(content)
    group = _plain(own)
    leaves = [found for member in members[:MEMBERS] if (found := read(member)) and found.type]
    if group is None:
        return None
    return Failure(type=group.type, message=group.message, frames=group.frames, members=tuple(leaves))


def _boxed(lines: Sequence[str], start: int) -> Failure | None:
    """Read what rich draws: frames in a box, `Type: message` below it, wrapped at the box's width."""
    lines = dedented(lines, start)
    below = range(start + 1, len(lines))
    end = next((at for at in below if lines[at][:1] not in BOX_INSIDE), len(lines))
    frames = _boxed_frames(lines[start + 1 : end])
    rest = lines[end:]
    own = next((at for at, text in enumerate(rest) if BOX_MEMBER.search(text)), len(rest))
    said = [text for text in rest[:own] if text[:1] not in BOX_DRAWN]  # a box of its own has the line of a SyntaxError
    while said and not said[0].strip():
        said.pop(0)
    failure = _plain(_unwrapped(said, len(lines[start].rstrip())))
    if failure is None or failure.type is None:
        return Failure(frames=frames) if frames else None
    return replace(failure, frames=frames, members=tuple(_boxed_members(rest[own:])))


def _boxed_frames(rows: Sequence[str]) -> tuple[Frame, ...]:
    """The frames in the rows of a box, each with the line of source that is marked; a place may take two rows."""
    frames, cut = list[Frame](), ""
    for text in rows:
        row = BOX_ROW.match(text)
        content = row[1] if row else ""
        if frames and (marked := BOX_CODE.match(content)):
            frames[-1] = replace(frames[-1], code=marked[1].replace("│   ", "").strip())
        if cut:
            content, cut = f"{cut} {content.strip()}", ""
        if BOX_FRAME_CUT.match(content):
            cut = content
        elif found := BOX_FRAME.match(content):
            frames.append(frame(found["file"], found["function"], int(found["line"])))
    return tuple(frames)


def _boxed_members(lines: Sequence[str]) -> list[Failure]:
    """The members of a group, each in a box of its own; nested ones come one after the other."""
    members: list[list[str]] = []
    for text in lines:
        if BOX_MEMBER.search(text):
            members.append([])
        elif members:
            members[-1].append(BOX_EDGES.sub("", text).rstrip())
    found = []
    for member in members[:MEMBERS]:
        frames = [
            frame(at["file"], at["function"], int(at["line"])) for text in member if (at := BOX_FRAME.match(text))
        ]
        named = next((text for text in reversed(member) if failure_line(text) and not BOX_FRAME.match(text)), None)
        if named and (said := FAILURE.match(named)):
            found.append(Failure(type=said["type"], message=said["message"] or "", frames=tuple(frames)))
    return found


def _unwrapped(lines: Sequence[str], width: int) -> list[str]:
    """Lines that rich broke at the box's width, made whole: the next word would not have fitted."""
    whole: list[str] = []
    room = width
    for text in lines:
        word = text.split(" ", 1)[0]
        if whole and word and word[:1] != "[" and len(word) >= room:
            whole[-1] = f"{whole[-1].rstrip()} {text}"
        else:
            whole.append(text)
        room = width - len(text.rstrip())
    return whole
