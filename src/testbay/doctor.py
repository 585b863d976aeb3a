"""What this machine can do and what is missing, looked at the way a run would, without starting anything."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from testbay import manifest, ports, process, registry
from testbay.composefile import ComposeFile, ComposeService, load_compose
from testbay.dependencies import ROOMS, Dependency, room_of
from testbay.errors import BayError
from testbay.output import Voice
from testbay.settings import Settings

Finding = tuple[bool, str]


def report(settings: Settings, folder: Path, voice: Voice) -> int:
    """Say every finding; returns 0 when some engine can run the project here, else that finding's exit code."""
    voice.say("This machine")
    for good, text in _machine(settings):
        voice.verdict(text, good=good)
    voice.say("Engine embedded")
    code = 0
    compose = _compose_file(settings, folder)
    for room in ROOMS.values():
        good, text, exit_code = _embedded(room, compose, settings)
        voice.verdict(text, good=good)
        code = code or exit_code
    voice.say("Project")
    for good, text in _project(settings, folder):
        voice.verdict(text, good=good)
    return code


def _machine(settings: Settings) -> Iterator[Finding]:
    yield (
        sys.version_info >= (3, 11),
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    yield _writable(settings.cache_dir), f"cache folder {settings.cache_dir}"
    if process.is_root():
        usable = shutil.which("setpriv") is not None
        yield (
            usable,
            "running as root: PostgreSQL runs as `nobody` through setpriv" + ("" if usable else ", which is missing"),
        )
    count = len(registry.living(settings.stacks_dir))
    yield (
        True,
        f"{count} stack{'' if count == 1 else 's'} of yours running" + (" (testbay ps)" if count else ""),
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _compose_file(settings: Settings, folder: Path) -> ComposeFile | None:
    try:
        return load_compose(manifest.find_project(folder) / manifest.COMPOSE_FILE, settings.environ)
    except BayError:
        return None


def _embedded(room: Dependency, compose: ComposeFile | None, settings: Settings) -> tuple[bool, str, int]:
    services = compose.services if compose else ()
    service = next((s for s in services if room_of(s) is room), ComposeService(key=room.NAME, image=room.IMAGES[0]))
    try:
        server = room.find(service, settings.environ)
    except BayError as error:
        return False, f"{room.TITLE}: {error.what}; {error.todo}", error.exit_code
    note = f"; {server.note}" if server.note else ""
    wanted = next((p.host for p in service.ports if p.host), room.DEFAULT_PORT)
    taken = (
        "" if ports.is_free(wanted) else f"; port {wanted} is held by {ports.holder(wanted)}, the next free one is used"
    )
    return True, f"{room.TITLE} {server.version} ({server.source}: {_short(server.program)}{note}){taken}", 0


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _project(settings: Settings, folder: Path) -> Iterator[Finding]:
    try:
        project = manifest.find_project(folder)
        folders = manifest.service_folders(project)
    except BayError as error:
        yield False, f"{error.what}; {error.todo}"
        return
    yield _said(partial(_compose, project / manifest.COMPOSE_FILE, settings))
    for name, place in folders.items():
        yield _said(partial(_service, name, place))
    if not folders:
        yield (
            False,
            f"no service: a folder in {project / 'services'} with [tool.testbay] in its pyproject.toml",
        )
    for name in _secrets(folders):
        yield (
            True,
            f"secret {name}: " + ("set" if settings.environ.get(name) else "not set (recorded answers at home)"),
        )


def _compose(file: Path, settings: Settings) -> str:
    return f"compose file: {', '.join(service.key for service in load_compose(file, settings.environ).services)}"


def _service(name: str, place: Path) -> str:
    return f"service {name}: needs {', '.join(manifest.load_manifest(place).needs)}"


def _said(tell: Callable[[], str]) -> Finding:
    try:
        return True, tell()
    except BayError as error:
        return False, f"{error.what}; {error.todo}"


def _secrets(folders: dict[str, Path]) -> list[str]:
    names: list[str] = []
    for place in folders.values():
        try:
            names += manifest.load_manifest(place).secrets
        except BayError:
            continue  # its own line said so
    return sorted(set(names))
