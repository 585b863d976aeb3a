"""`testbay logs`: the logs of a stack's servers, or of the newest run's, as one stream of lines."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbay import process
from testbay.errors import InterruptedRunError, ManifestError
from testbay.harness.run import folder as runs
from testbay.harness.run.record import Record, RecordError
from testbay.harness.stack import registry
from testbay.manifest.needs import ALIASES
from testbay.output import Voice
from testbay.settings import Settings

_POLL_S = 0.1
_PIECE_BYTES = 1 << 20
_LINE_BYTES = 64 << 10
_NO_SERVER = {"guard"}  # the log of our own guard
Mask = Callable[[str], str]


@dataclass(kw_only=True)
class GrowingLog:
    """One server's log, taken line by line as it grows."""

    path: Path
    position: int = 0
    rest: bytes = b""

    def new(self) -> list[str]:
        """Read the whole lines added since the last call, up to a limit."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self.position:
                    self.position, self.rest = 0, b""  # another file of that name
                file.seek(self.position)
                text = self.rest + file.read(_PIECE_BYTES)
                self.position = file.tell()
        except OSError:
            return []
        *lines, self.rest = text.split(b"\n")
        if len(self.rest) > _LINE_BYTES:
            lines, self.rest = [*lines, self.rest], b""
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def all(self) -> list[str]:
        """Read everything."""
        lines: list[str] = []
        while piece := self.new():
            lines += piece
        return lines


class Logs:
    """The logs in some folders, each line prefixed with its server's name."""

    def __init__(
        self,
        folders: Iterable[Path],
        voice: Voice,
        mask: Mask,
        only: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._names = names or {}  # redis, where that is what stands in the room of Dragonfly
        self._folders = list(folders)
        self._voice = voice
        self._mask = mask
        self._only = only
        self._logs: dict[Path, GrowingLog] = {}

    def find(self) -> list[str]:
        """Look for new logs; return the names of all servers that have one."""
        for path in sorted(path for folder in self._folders for path in folder.glob("*.log")):
            if path.stem not in _NO_SERVER and self._only in (None, path.stem):
                self._logs.setdefault(path, GrowingLog(path=path))
        return [self._called(path) for path in self._logs]

    def last(self, lines: int) -> None:
        """Print the last lines of each log; a negative number means all of them."""
        self.find()
        for path, log in self._logs.items():
            there = log.all()
            self._say(path, there if lines < 0 else there[max(0, len(there) - lines) :])

    def catch_up(self) -> None:
        """Print the lines that were added."""
        self.find()
        for path, log in self._logs.items():
            self._say(path, log.new())

    def there(self) -> bool:
        """Return whether a folder of logs still exists: a stack's vanishes with the stack."""
        return any(folder.is_dir() for folder in self._folders)

    def _say(self, path: Path, lines: Iterable[str]) -> None:
        width = max(len(self._called(path)) for path in self._logs)
        for line in lines:
            self._voice.say(f"{self._called(path):{width}} | {self._mask(line)}")

    def _called(self, path: Path) -> str:
        return self._names.get(path.stem, path.stem)


@dataclass(frozen=True, kw_only=True)
class WhichLogs:
    """The selection of logs: of stacks or the newest run, by service or id; of one server; and their length."""

    which: str | None
    only: str | None
    lines: int
    follow: bool


def show(asked: WhichLogs, project: Path, settings: Settings, voice: Voice, mask: Mask) -> None:
    """Print the logs of running stacks, else of the newest run; with `follow` until the stacks end, or Ctrl-C.

    Raises:
        ManifestError: Nothing runs and no run is recorded, or no server has that name.
    """
    living = [record for record in registry.living(settings.stacks_dir) if record.get("project") == str(project)]
    records = [record for record in living if asked.which in (None, record["id"], record["service"])]
    folders = [settings.stacks_dir / record["id"] for record in records] or [_newest(project, asked.which)]
    names = _names(records, folders[0].parent)
    logs = Logs(folders, voice, mask, ALIASES.get(asked.only or "", asked.only), names)
    if not logs.find():
        there = Logs(folders, voice, mask, names=names).find()
        raise ManifestError(
            f"no log of {asked.only or 'a server'} in {folders[0]}",
            why=f"there are: {', '.join(there)}" if there else "no server has logged anything yet",
            todo="name one of them with --only, or none" if there else "`testbay up` or `testbay run` starts servers",
        )
    with suppress(InterruptedRunError), process.signals_as_errors():  # Ctrl-C is how it is meant to end
        logs.last(asked.lines)
        if asked.follow and not records:
            voice.say(f"# no stack runs that could be followed; this was {folders[0].parent.name}")
        elif asked.follow:
            _follow(logs)


def _follow(logs: Logs) -> None:
    while logs.there():
        time.sleep(_POLL_S)
        logs.catch_up()


def _names(records: Iterable[Mapping[str, Any]], run: Path) -> dict[str, str]:
    """The names that differ from the logs' in the stacks' records, else in that of the run."""
    told = [each for record in records for each in record.get("endpoints", {}).values()]
    if told:
        return renamed((each["name"], each["title"]) for each in told)
    try:
        return renamed((each.name, each.title) for each in Record.read(run).dependencies)
    except RecordError:
        return {}


def renamed(titles: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map the names of logs to those of servers where they differ: `dragonfly.log` may be of Redis."""
    return {name: title.lower() for name, title in titles if title.lower() in ALIASES}


def _is_of_a_server(folder: Path) -> bool:
    return any(path.stem not in _NO_SERVER for path in folder.glob("*.log"))


def _newest(project: Path, which: str | None) -> Path:
    found = sorted(
        folder
        for folder in runs.runs(project).glob("*/logs")
        if which is None or runs.is_meant(folder.parent.name, which)
    )
    found = [folder for folder in found if _is_of_a_server(folder)] or found  # plain pytest keeps none
    if not found:
        raise ManifestError(
            f"nothing of {which or 'this project'} runs, and no run of it is recorded",
            todo="testbay up starts a stack, testbay run makes a run",
        )
    return found[-1]
