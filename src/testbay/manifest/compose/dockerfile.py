"""Reading a service's Dockerfile without building it: the base image, variables, commands and copied files."""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose.finding import UnboundedError, read_file
from testbay.manifest.compose.interpolation import (
    InvalidTemplateError,
    OversizedTextError,
    UnsetVariableError,
    interpolate,
)
from testbay.manifest.compose.reading import Built, Volume
from testbay.manifest.compose.recognition import DRAGONFLY, room_of_image

_HEREDOC = re.compile(r"<<-?[\"']?(\w+)")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+as\s+(\S+))?\s*", re.IGNORECASE)
_HARMLESS = re.compile(r"\s*(?:(?:chmod|chown|mkdir|echo|true)\b[^>&|;]*(?:&&|;|$)\s*)+")
_WILD = re.compile(r"[*?\[]")
_MOST_FILES = 10_000
_MOST_STAGES = 200
_MOST_FILLED = 1_000_000
# Folders of the images: one file that is copied there, without a slash behind it, comes into the folder.
_FOLDERS = (
    *("/", "/data", "/docker-entrypoint-initdb.d", "/etc", "/etc/keydb", "/etc/nats", "/etc/postgresql", "/opt"),
    *("/run", "/tmp", "/usr/local/bin", "/usr/local/etc", "/var/lib/postgresql"),  # noqa: S108 - of the container
)


@dataclass(kw_only=True)
class _Stage:
    """One stage of a Dockerfile: its base (an image or a stage) and its instructions."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def read(build: Mapping[str, Any]) -> Built:
    """Read the Dockerfile of a `build:`; empty where it cannot be read."""
    context = Path(str(build.get("context") or "."))
    text = build.get("dockerfile_inline")
    if text is None:
        text = _text(context / str(build.get("dockerfile") or "Dockerfile"))
    given = build.get("args")
    arguments = {name: str(value) for name, value in (given if isinstance(given, dict) else {}).items() if value}
    try:
        chain = _chain(_stages(str(text), arguments), str(build.get("target") or ""))
        return _Layers(context, arguments, chain).built() if chain else Built()
    except UnboundedError:
        return Built()


def _text(path: Path) -> str:
    try:
        return (read_file(path) or b"").decode(errors="replace")
    except (ManifestError, OSError, ValueError):
        return ""


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction as (name, body), its lines joined; skip here-documents."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line.strip()]
        while parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1].rstrip()
            parts.append(next((more.strip() for more in lines if not more.lstrip().startswith("#")), ""))
        name, _, body = " ".join(parts).strip().partition(" ")
        if name.upper() in ("RUN", "COPY", "ADD"):
            for end in _HEREDOC.findall(body):
                next((more for more in lines if more.strip() == end), "")
        yield name.upper(), body.strip()


def _stages(text: str, arguments: Mapping[str, str]) -> dict[str, _Stage]:
    """The stages by name, and by number where they have none."""
    stages: dict[str, _Stage] = {}
    known: dict[str, str] = {}
    stage: _Stage | None = None
    for name, body in _instructions(text):
        if name == "FROM" and (match := _FROM.fullmatch(body)):
            stage = stages[(match[2] or str(len(stages))).lower()] = _Stage(base=_filled(match[1], known.get))
            if len(stages) > _MOST_STAGES:
                raise UnboundedError(f"more than {_MOST_STAGES} stages")
        elif stage:
            stage.instructions.append((name, body))
        elif name == "ARG":
            variable, _, value = body.partition("=")
            known[variable] = arguments.get(variable, value.strip("\"'"))
    return stages


def _chain(stages: dict[str, _Stage], target: str) -> list[_Stage]:
    """The stages of which the target consists, the lowest first."""
    names = list(stages)
    name = target.lower() if target else (names[-1] if names else "")
    chain: list[_Stage] = []
    while name in stages:
        chain.insert(0, stages.pop(name))
        name = chain[0].base.lower()
    return chain


def _filled(text: str, lookup: Callable[[str], str | None]) -> str:
    try:
        return interpolate(text, lookup)
    except (InvalidTemplateError, OversizedTextError, UnsetVariableError):
        return text


class _Layers:
    """Collects the effect of the instructions of a chain of stages."""

    def __init__(self, context: Path, arguments: Mapping[str, str], chain: list[_Stage]) -> None:
        self._context = context
        self._arguments = arguments
        self._chain = chain
        self._known: dict[str, str] = {}
        self._environment: dict[str, str] = {}
        self._folder = PurePosixPath("/data" if room_of_image(chain[0].base) == DRAGONFLY else "/")  # the image's own
        self._copied: list[Volume] = []
        self._command: tuple[str, ...] = ()
        self._entrypoint: tuple[str, ...] | None = None
        self._filled = 0
        self._user = ""
        self._left_out: list[str] = []

    def built(self) -> Built:
        for stage in self._chain:
            for name, body in stage.instructions:
                self._take(name, body)
        return Built(
            base=self._chain[0].base,
            environment=self._environment,
            command=self._command,
            entrypoint=self._entrypoint,
            user=self._user,
            copied=tuple(self._copied),
            left_out=tuple(self._left_out),
        )

    def _take(self, name: str, body: str) -> None:
        match name:
            case "ARG":
                variable, _, value = body.partition("=")
                self._known[variable] = self._arguments.get(variable, value.strip("\"'"))
            case "ENV":
                self._environment |= {key: self._with_variables(value) for key, value in _assignments(body)}
            case "WORKDIR":
                self._folder /= self._with_variables(body)
            case "USER":
                self._user = self._with_variables(body)
            case "CMD":
                self._command = _words(body)
            case "ENTRYPOINT":
                self._entrypoint, self._command = _words(body), ()
            case "COPY" | "ADD" if copied := self._copies(body):
                self._copied += copied
            case "COPY" | "ADD":
                self._left_out.append(f"{name} {body}"[:60])
            case "RUN" if not _HARMLESS.fullmatch(body):
                self._left_out.append(f"{name} {body}"[:60])

    def _with_variables(self, text: str) -> str:
        made = _filled(text, lambda name: self._environment.get(name, self._known.get(name)))
        self._filled += len(made)
        if self._filled > _MOST_FILLED:
            raise UnboundedError(f"variables make more than {_MOST_FILLED} characters of a Dockerfile")
        return made

    def _copies(self, body: str) -> list[Volume]:
        """Files of the context, each with its place in the image; empty for those of another stage or address."""
        *flags, rest = re.split(r"(?:(?<=^)|(?<=\s))(--\S+)\s+", body)
        if any(flag.startswith("--from") for flag in flags):
            return []
        words = _words(rest) if rest.startswith("[") else tuple(_split(rest))
        *sources, target = (self._with_variables(word) for word in words) if words else ("",)
        inside = posixpath.normpath(self._folder / target)
        files = [file for source in sources for file in self._found(source)]
        into = target.endswith("/") or len(files) > 1 or inside in (*_FOLDERS, str(self._folder))
        places = [inside if file.is_dir() or not into else posixpath.join(inside, file.name) for file in files]
        return [Volume(type="bind", source=str(file), target=to) for file, to in zip(files, places, strict=True)]

    def _found(self, source: str) -> list[Path]:
        plain = posixpath.normpath(f"/{source}").lstrip("/")  # nothing above the context is in it
        if not _WILD.search(plain):
            return [file for file in (self._context / plain,) if file.exists()]
        folder, _, names = plain.rpartition("/")
        if _WILD.search(folder) or not (self._context / folder).is_dir():
            return []  # folders below folders could be the whole machine
        found = islice((self._context / folder).iterdir(), _MOST_FILES)
        return sorted(file for file in found if fnmatchcase(file.name, names))


def _assignments(body: str) -> Iterator[tuple[str, str]]:
    if not _ASSIGNED.match(body):
        name, _, value = body.partition(" ")
        yield name, value.strip()
        return
    for word in _split(body):
        name, _, value = word.partition("=")
        yield name, value


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _words(body: str) -> tuple[str, ...]:
    """The words of a command: the exec form is a JSON list, any other is a line for a shell."""
    if body.startswith("["):
        try:
            words = json.loads(body)
        except (ValueError, RecursionError):
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return ("/bin/sh", "-c", body) if body else ()
