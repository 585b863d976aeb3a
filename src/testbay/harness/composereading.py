"""`testbay compose`: show how testbay reads a compose file. Nothing is started, and no manifest is needed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from testbay.errors import ManifestError
from testbay.harness.dependencies import ROOMS, foreign_images
from testbay.manifest import needs as dependencies
from testbay.manifest.compose import reader
from testbay.manifest.compose.finding import TEST_FILE
from testbay.manifest.compose.reading import ComposeFile, ComposeService
from testbay.manifest.compose.selection import Selection, found, select
from testbay.manifest.project import compose_files, find_project, find_service, service_folders
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.settings import Settings
from testbay.text import one_line

_HIDDEN = "***"
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|AUTH$", re.IGNORECASE)
_NOT_SECRET = re.compile(r"_FILE$|_METHOD$|^ALLOW_EMPTY", re.IGNORECASE)
_FLAG = re.compile(r"^--?(requirepass|masterauth|auth|pass|password|tls_key_file)$")
_IN_TEXT = re.compile(r"(--?(?:requirepass|masterauth|auth|pass|password)(?:=|\s+))(\"[^\"]*\"|'[^']*'|[^\s\"']+)")
_IN_ADDRESS = re.compile(r"(://[^:/@\s]*:)([^@/\s]+)(@)")


@dataclass(frozen=True, kw_only=True)
class Question:
    """Compose files to read, the dependencies to look for, and the services named for them."""

    files: list[Path]
    needs: dict[str, str] = field(default_factory=dict)  # the dependency → the name it was asked by
    named: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()


def question(files: Sequence[Path], needs: str, folder: Path, settings: Settings) -> Question:
    """Read the arguments: the named files, else the project's, with its manifest if it has one.

    Raises:
        ManifestError: The compose file is missing, or `needs` names a dependency that is not known.
    """
    rooms, named = _needs(needs)
    if absent := next((file for file in files if not file.exists()), None):
        raise ManifestError(f"{absent} does not exist", todo="name a compose file; left out, it is the project's")
    project, known = _project(folder)
    theirs = compose_files(known, project, settings.environ) if known else reader.find(project, settings.environ)
    if files and [file.absolute() for file in files] != [file.absolute() for file in theirs]:
        return Question(files=list(files), needs=rooms, named=named)
    if not theirs:
        raise _no_compose_file(folder)
    if known is None:
        return Question(files=theirs, needs=rooms, named=named)
    rooms = rooms or {name: name for name in known.needs}
    return Question(files=theirs, needs=rooms, named=known.services | named, also=tuple(known.also))


def _no_compose_file(folder: Path) -> ManifestError:
    others = sorted(path.name for path in folder.glob("*compose*.y*ml"))
    return ManifestError(
        f"{folder} has no compose file",
        why=f"neither {TEST_FILE} nor a name that Compose knows",
        todo=f"name the file: testbay compose {others[0] if others else 'FILE'}",
    )


def _project(folder: Path) -> tuple[Path, Manifest | None]:
    try:
        project = find_project(folder)
    except ManifestError:
        return folder, None
    folders = service_folders(project)
    return project, find_service(None, project) if len(folders) == 1 else None


def _needs(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parse `postgres,redis=cache` into dependencies by the names used, and services by dependency."""
    rooms, named = {}, {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, service = (part.strip() for part in entry.partition("="))
        room = dependencies.room(name)
        rooms[room] = name
        if service:
            named[room] = service
    return rooms, named


def show(question: Question, settings: Settings, voice: Voice, aside: Voice, *, as_json: bool, secrets: bool) -> int:
    """Print the reading; with `--json`, what is left out goes to `aside`.

    Raises:
        ManifestError: The file cannot be read, or lacks what is needed.
    """
    reading, selection = _selected(question, settings)
    servers = {
        question.needs.get(room, room): _described(room, service, secrets=secrets)
        for room, service in selection.servers.items()
    }
    if as_json:
        voice.say(json.dumps(servers, indent=2, ensure_ascii=False))
    else:
        voice.say(f"{', '.join(str(file) for file in reading.files)} (read by {reading.reader})")
        for name, server in servers.items():
            _say(name, server, voice)
    beside = aside if as_json else voice
    for helper in selection.helpers:
        beside.say(f"started beside: {helper.key} ({helper.image or 'built'})")
    if selection.left_out:
        beside.say(f"left out: {', '.join(selection.left_out)}")
    return 0


def _selected(question: Question, settings: Settings) -> tuple[ComposeFile, Selection]:
    reading = reader.read(question.files, settings.environ, settings.cache_dir)
    needs = list(question.needs) or found(reading, named=question.named)
    foreign = foreign_images() if set(needs) - set(dependencies.BUILT_IN) else {}
    return reading, select(reading, needs, named=question.named, also=question.also, foreign=foreign)


def _described(room: str, service: ComposeService, *, secrets: bool) -> dict[str, Any]:
    """A server as plain values, for JSON."""
    made = ROOMS[room].described(service)
    server: dict[str, Any] = {
        "service": service.key,
        "image": service.image,
        "based_on": service.based_on,
        "environment": dict(service.environment),
        "command": list(service.command),
        "user": made.user,
        "password": made.password,
        "db": made.db,
        "port": made.port,
        "argv": list(made.argv),
        "set_up": list(made.set_up),
        "notes": list(made.notes),
        "entrypoint": None if service.entrypoint is None else list(service.entrypoint),
        "published": [port.host for port in service.ports if port.container == made.port and port.host],
        "origins": dict(service.origins),
    }
    return server if secrets else _masked(server)


def _masked(server: Mapping[str, Any]) -> dict[str, Any]:
    environment = server["environment"]
    hidden = {name: value for name, value in environment.items() if _is_secret(name)}
    plain = {server["user"], server["db"]}  # told as they are: the same text elsewhere betrays nothing
    values = {value for value in (*hidden.values(), server["password"]) if len(value) >= 8} - plain

    def text(value: str) -> str:
        for secret in sorted(values, key=len, reverse=True):
            value = value.replace(secret, _HIDDEN)
        return _IN_ADDRESS.sub(rf"\1{_HIDDEN}\3", _IN_TEXT.sub(rf"\1{_HIDDEN}", value))

    def words(line: list[str]) -> list[str]:
        return [_HIDDEN if _FLAG.match(before) else text(word) for before, word in pairwise(["", *line])]

    return {
        **server,
        "password": _HIDDEN if server["password"] else "",
        "environment": {n: _HIDDEN if n in hidden and value else text(value) for n, value in environment.items()},
        "command": words(server["command"]),
        "argv": words(server["argv"]),
        "notes": [text(note) for note in server["notes"]],
    }


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NOT_SECRET.search(name)


def _from(server: Mapping[str, Any]) -> str:
    return f", from {one_line(server['based_on'])}" if server["based_on"] != server["image"] else ""


def _say(name: str, server: Mapping[str, Any], voice: Voice) -> None:
    voice.say(f"{name}: service {server['service']}, image {server['image'] or '(built)'}{_from(server)}")
    published = ", ".join(str(port) for port in server["published"])
    for key in ("user", "password", "db"):
        if server[key]:
            voice.detail(f"{key:<9} {one_line(server[key])}")
    voice.detail(f"{'port':<9} {server['port']}" + (f" (published on {published})" if published else ""))
    for key in ("command", "argv", "set_up"):
        if server[key]:
            words = (word if word and not word.isspace() else f'"{word}"' for word in server[key])  # --save ""
            voice.detail(f"{key:<9} {one_line(' '.join(words))}")
    for variable, value in server["environment"].items():
        voice.detail(f"{variable}={one_line(value)}  ({server['origins'].get(variable, 'environment')})")
    for note in server["notes"]:
        voice.detail(f"note: {note}")
