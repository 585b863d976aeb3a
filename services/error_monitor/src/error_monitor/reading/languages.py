"""Exceptions of PHP, Ruby, Elixir and .NET, as their runtimes and loggers print them."""

import re
from collections.abc import Sequence
from itertools import pairwise

from error_monitor.reading.event import Failure, Frame, called

PHP = {
    "Uncaught ": re.compile(
        r"Uncaught (?P<type>[A-Z][\w\\]*)(?:: (?P<message>.*?))? in (?P<file>\S+?)(?::| on line )(?P<line>\d+)\b"
    ),
    "[object] (": re.compile(
        r"\[object\] \((?P<type>[\w\\]+)\(code: [^)]*\): (?P<message>.*) at (?P<file>\S+):(?P<line>\d+)\)"
    ),
}
"""The runtime's own words, and what Monolog (Laravel, Symfony) writes into its context."""
PHP_LOGGED = re.compile(r"(?:^|\s)(?P<type>[A-Z][\w\\]*): (?P<message>.*) in (?P<file>/\S+):(?P<line>\d+)$")
"""What a program logs of an exception as text; its stack follows."""
PHP_CALL = re.compile(r"#\d+ (?:(?P<file>[^\s(]+)\((?P<line>\d+)\): (?P<function>[^\s(]+)\(|\{main\})")
RUBY = re.compile(
    r"(?P<file>\S+\.rb):(?P<line>\d+):in [`'](?P<function>[^']+)': (?P<message>.*) \((?P<type>[A-Z][\w:]*)\)$"
)
"""What ends a program."""
RUBY_BROKEN = re.compile(r"(?:[A-Z]\w*::)*[A-Z]\w*(?:Error|Exception) \((?!.*\):$)")
"""A message of several lines, as Rails logs it: Ruby puts below it what may have been meant."""
RUBY_TYPE = re.compile(r"(?:[A-Z]\w*::)*[A-Z]\w*")
RUBY_SAID = re.compile(r"(?:^|\s)(?P<type>(?:[A-Z]\w*::)*[A-Z]\w*(?<=[a-z\d])): (?P<message>.*)$")
"""Above the calls, as Sidekiq logs it."""
RUBY_CALL = re.compile(r"(?:\s+from )?(?P<file>\S+\.rb):(?P<line>\d+):in [`'](?P<function>[^']+)'$")
ELIXIR = re.compile(r"\s*\*\* \((?P<type>[A-Z][\w.]*)\) (?P<message>.*)$")
ELIXIR_CALL = re.compile(
    r"\s+(?:\((?P<app>\w+)(?: [^)]+)?\) )?(?P<file>[\w./-]+\.(?:exs?|erl)):(?P<line>\d+): (?P<function>.+)$"
)
CPP = re.compile(r"terminate called after throwing an instance of '(?P<type>[\w:]+)")
DOTNET_CALL = re.compile(r"\s+at (?P<function>[\w.<>`+$\[\],]+)\([^()]*\)(?: in (?P<file>.+?):line (?P<line>\d+))?\s*$")
LIBRARY = re.compile(
    r"/vendor/|/gems/|/ruby/\d|<internal:"
    r"|^(?:elixir|stdlib|kernel|logger|mix|ecto|phoenix|plug|cowboy|ranch|bandit|oban|postgrex|db_connection)(?:_\w+)?$"
    r"|^(?:System|Microsoft|Npgsql)\."
)
SAID_LINES = 12
STACK = re.compile(rf"\S+\.rb:\d+:in [`']|\s+from \S+:\d+:in |{ELIXIR_CALL.pattern}")


def begins(text: str) -> bool:
    """Return whether a line names an exception of Ruby, whose stack may follow."""
    return rails(text) == 0 or bool(RUBY.match(text) or RUBY_BROKEN.match(text))


def rails(text: str) -> int | None:
    """Find where `Type (message):` begins, as Rails logs it; None where it does not stand at the end of the line."""
    if not text.endswith("):"):
        return None
    before, opens, _ = text.partition(" (")
    at = before.rfind(" ") + 1
    return at if opens and RUBY_TYPE.fullmatch(before, at) else None


def read(lines: Sequence[str]) -> Failure | None:
    """Read an exception and its frames, innermost last; None where none of these languages wrote it."""
    return _php(lines) or _ruby(lines) or _elixir(lines) or _cpp(lines)


def dotnet(text: str) -> Frame | None:
    """A frame of .NET."""
    found = DOTNET_CALL.match(text)
    if found is None:
        return None
    function, file = found["function"], found["file"]
    return called(file or "", function, found["line"], own=bool(file) and not LIBRARY.search(function))


def _php(lines: Sequence[str]) -> Failure | None:
    found = next((found for text in lines[:3] if (found := _uncaught(text))), None)
    if found is None and lines[1:2] == ["Stack trace:"]:
        found = PHP_LOGGED.search(lines[0][-4000:])
    if found is None:
        return None
    kind = found["type"].replace("\\\\", "\\")
    return Failure(type=kind, message=found["message"] or "", frames=_php_frames(found["file"], found["line"], lines))


def _php_frames(file: str, line: str, lines: Sequence[str]) -> tuple[Frame, ...]:
    """The frames. A call names what was called: its own function stands in the next one."""
    calls = [call for text in lines for part in text.split("\\n") if (call := PHP_CALL.match(part))]
    places = [(file, line), *((call["file"], call["line"]) for call in calls)]
    names = [call["function"] or "{main}" for call in calls] or ["{main}"]
    frames = [
        called(place, name.replace("\\\\", "\\"), number, own=not LIBRARY.search(place))
        for (place, number), name in zip(places, names, strict=False)
        if place
    ]
    return tuple(reversed(frames))


def _uncaught(text: str) -> re.Match[str] | None:
    """A search for the words: a pattern that tries every place takes too long on a hostile line."""
    starts = ((text.find(word), pattern) for word, pattern in PHP.items())
    return next((found for at, pattern in starts if at >= 0 and (found := pattern.match(text, at))), None)


def _ruby(lines: Sequence[str]) -> Failure | None:
    if found := RUBY.match(lines[0]):
        frames = _ruby_frames([lines[0].partition(": ")[0], *lines[1:]])
        return Failure(type=found["type"], message=found["message"], frames=frames)
    lines = _closed(lines)
    at = rails(lines[0])
    frames = _ruby_frames(lines if RUBY_CALL.match(lines[0]) else lines[1:])
    if at is None or not frames:
        above = next((text for text, call in pairwise(lines) if RUBY_CALL.match(call)), "") if frames else ""
        said = RUBY_SAID.search(above[-4000:])
        if said is None:
            return Failure(frames=frames) if RUBY_CALL.match(lines[0]) else None
        return Failure(type=said["type"], message=said["message"], frames=frames)
    kind, _, message = lines[0][at:].partition(" (")
    return Failure(type=kind, message=message.removesuffix("):"), frames=frames)


def _closed(lines: Sequence[str]) -> Sequence[str]:
    """Lines whose first one holds the whole message."""
    if not RUBY_BROKEN.match(lines[0]):
        return lines
    end = next((at for at, text in enumerate(lines[:SAID_LINES]) if text.endswith("):")), 0)
    return ["\n".join(lines[: end + 1]), *lines[end + 1 :]]


def _ruby_frames(lines: Sequence[str]) -> tuple[Frame, ...]:
    calls = [call for text in lines if (call := RUBY_CALL.match(text))]
    return tuple(
        called(call["file"], call["function"], call["line"], own=not LIBRARY.search(call["file"]))
        for call in reversed(calls)
    )


def _elixir(lines: Sequence[str]) -> Failure | None:
    found = next((found for text in lines if (found := ELIXIR.match(text))), None)
    if found is None:
        return None
    calls = [call for text in lines if (call := ELIXIR_CALL.match(text))]
    frames = [
        called(call["file"], call["function"], call["line"], own=not LIBRARY.search(call["app"] or ""))
        for call in calls
    ]
    return Failure(type=found["type"], message=found["message"], frames=tuple(reversed(frames)))


def _cpp(lines: Sequence[str]) -> Failure | None:
    found = CPP.match(lines[0])
    if found is None:
        return None
    said = lines[1].strip() if len(lines) > 1 else ""
    return Failure(type=found["type"], message=said.removeprefix("what():").strip() if said[:1] == "w" else "")
