"""`testbay doctor`: whether this machine can run the project, checked as a run does, without starting anything."""

import contextlib
import os
import platform
import pwd
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from testbay import ports, process
from testbay.errors import BayError, EngineUnavailableError, ManifestError
from testbay.harness.dependencies import ROOMS, Dependency, called, room_of
from testbay.harness.dependencies import title as title_of
from testbay.harness.engines import docker as daemon
from testbay.harness.engines import embedded, sandbox
from testbay.harness.stack import planning, registry
from testbay.harness.stack.request import selected
from testbay.manifest.compose import reader
from testbay.manifest.compose.finding import TEST_FILE
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.load import load_manifest
from testbay.manifest.project import compose_files, find_project, service_folders
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.settings import Settings
from testbay.text import plural

Finding = tuple[bool, str]


class _Native(NamedTuple):
    """A server of the embedded engine: its name, a line about it, and the exit code if it is missing."""

    title: str
    text: str
    exit_code: int = 0


class _Surroundings:
    """The project around a folder, as far as it can be read; its findings say what cannot."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.folders: dict[str, Path] = {}
        self.manifests: list[Manifest] = []
        self.files: list[list[Path]] = []  # the compose files of each service; the usual one before the first service
        self.fault: BayError | None = None
        try:
            self.project = find_project(folder)
            self.folders = service_folders(self.project)
        except BayError as error:
            self.fault = error
            return
        for place in self.folders.values():
            with contextlib.suppress(BayError):
                self._add(load_manifest(place))
        self.files = self.files or [reader.find(self.project, settings.environ) or [self.project / TEST_FILE]]

    def _add(self, manifest: Manifest) -> None:
        self.manifests.append(manifest)
        files = compose_files(manifest, self.project, self.settings.environ)
        self.files += [files] if files not in self.files else []

    @property
    def needed(self) -> Collection[str]:
        """The dependencies of the services; every known one if no service can be read."""
        return {name for manifest in self.manifests for name in manifest.needs} or ROOMS.keys()

    def service_of(self, room: Dependency) -> ComposeService | None:
        """Find the compose service of a room."""
        for files in self.files:
            with contextlib.suppress(BayError):
                services = reader.read(files, self.settings.environ, self.settings.cache_dir).services
                if found := next((service for service in services if room_of(service) is room), None):
                    return found
        return None

    def findings(self) -> Iterator[Finding]:
        """Yield what a run would meet: its compose files, its services, its secrets."""
        if self.fault is not None:
            yield _refused(self.fault)
            return
        for files in self.files:
            if self.folders or files[0].exists():  # `testbay init` writes it, too
                yield _finding(partial(_compose, files, self.settings))
        for name, place in self.folders.items():
            yield _finding(partial(_service, name, place, self.project, self.settings))
        if not self.folders:
            place = self.project / "services"
            yield False, f"no service here; `testbay init` writes a manifest, or a folder in {place} has one"
        secrets: dict[str, bool] = {}
        for manifest in self.manifests:
            secrets |= manifest.secrets_set(self.settings.environ)
        for name, present in sorted(secrets.items()):
            yield True, f"secret {name}: " + ("set" if present else "not set (recorded answers at home)")


def report(settings: Settings, folder: Path, voice: Voice) -> int:
    """Print all findings; return 0 if an engine can run the project here, else the exit code of what is wrong."""
    around = _Surroundings(folder, settings)
    native = {name: _embedded(room, around) for name, room in ROOMS.items()}
    has_docker, docker = _finding(partial(_compose_engine, settings))
    _say(voice, "This machine", _machine(settings))
    _say(voice, "Engine embedded", ((not server.exit_code, server.text) for server in native.values()))
    voice.say("Engine compose")
    if has_docker:
        voice.verdict(docker, good=True)
    else:
        voice.detail(f"not here: {docker}")  # nothing is broken: embedded needs no Docker
    voice.say(f"Engine auto takes {_auto(around) if has_docker else f'embedded: {docker}'}")
    project = list(around.findings())
    _say(voice, "Project", project)
    missing = [native[name] for name in around.needed if name in native and native[name].exit_code and not has_docker]
    if is_whole := all(good for good, _ in project):
        _say_verdict(voice, [server.title for server in missing])
    if missing:
        return missing[0].exit_code
    return 0 if is_whole or not around.folders else ManifestError.exit_code


def _say_verdict(voice: Voice, lacks: Sequence[str]) -> None:
    """Print whether a project with nothing wrong can run here; `lacks` are the servers without a program."""
    if lacks:
        voice.verdict(f"This project cannot run here: no server for {', '.join(lacks)}", good=False)
    else:
        voice.verdict("This project can run here: testbay run", good=True)


def _auto(around: _Surroundings) -> str:
    """The engine that `auto` would choose if Docker answers, with the reason; no image is pulled."""
    found = daemon.find(around.settings.environ)
    services = [around.service_of(ROOMS[name]) for name in around.needed if name in ROOMS]
    missing = daemon.missing_images(found, [one.image for one in services if one and not one.build])
    if not missing:
        return f"compose: Docker {found.version} answers and has the images"
    return f"compose once {', '.join(missing)} can be pulled, else embedded"


def _say(voice: Voice, title: str, findings: Iterable[Finding]) -> None:
    voice.say(title)
    for good, text in findings:
        voice.verdict(text, good=good)


def _machine(settings: Settings) -> Iterator[Finding]:
    yield True, f"testbay {metadata.version('testbay')}"
    yield (
        sys.version_info >= (3, 11),
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    writable = _writable(settings.cache_dir)
    fix = "" if writable else ": testbay cannot write there; make it writable, or name another in TESTBAY_CACHE_DIR"
    yield writable, f"cache folder {settings.cache_dir}{fix}"
    if process.is_root():
        usable = embedded.setpriv() is not None
        missing = "" if usable else ", which is missing; install util-linux, or run as an ordinary user"
        yield usable, f"running as root: servers run as `nobody` through setpriv{missing}"
    yield True, _sandbox()
    yield _running(settings)


def _sandbox() -> str:
    if version := sandbox.abi():
        return f"embedded servers run in a sandbox (Landlock {version})"
    return "no sandbox for embedded servers, as this kernel has no Landlock: what can log in to one can run programs"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _embedded(room: Dependency, around: _Surroundings) -> _Native:
    service = around.service_of(room) or ComposeService(key=room.NAME, image=room.IMAGES[0])
    title = title_of(service, room)
    try:
        server = room.find(service, around.settings.environ)
    except BayError as error:
        return _Native(title, f"{title}: {error.what}; {error.todo}", error.exit_code)
    if room.NAME == "postgres" and not process.is_root() and not _has_name():
        why = f"user {os.geteuid()} has no name, and initdb refuses such a user; {embedded.NAMELESS}"
        return _Native(title, f"{title}: {why}", EngineUnavailableError.exit_code)
    note = f"; {server.note}" if server.note else ""
    wanted = room.DEFAULT_PORT
    with contextlib.suppress(BayError):  # the line of its compose file says why it does not start
        wanted = planning.published(service, room.NAME) or wanted
    text = f"{title} {server.version} ({server.source}: {_short(server.program)}{note})"
    if not ports.is_free(wanted):
        text += f"; port {wanted} is held by {ports.holder(wanted)}, so the next free one is used"
    return _Native(title, text)


def _has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:  # as in a container that was started with --user
        return False


def _running(settings: Settings) -> Finding:
    try:
        count = len(registry.living(settings.stacks_dir))
    except BayError as error:
        return False, f"stacks of yours: {error.what}: {error.why}"
    return True, f"{plural(count, 'stack')} of yours running" + (" (testbay ps)" if count else "")


def _compose_engine(settings: Settings) -> str:
    found = daemon.find(settings.environ)
    rootless = ", rootless" if found.rootless else ""
    return f"Docker {found.version}{rootless}, Compose {found.compose_version} at {found.address}"


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _compose(files: list[Path], settings: Settings) -> str:
    read = reader.read(files, settings.environ, settings.cache_dir)
    rooms = [(service.key, service, room_of(service)) for service in read.services]
    keys = [f"{key} ({called(service, room)})" if room else key for key, service, room in rooms]
    names = ", ".join(file.name for file in files)
    return f"compose file {names}: {', '.join(keys)}"


def _service(name: str, place: Path, project: Path, settings: Settings) -> str:
    """Check what a service needs, as a run would: whatever stops a run is an error here."""
    manifest = load_manifest(place)
    _, selection = selected(manifest, project, settings)
    said = (called(selection.servers[need], ROOMS[need]) if need in ROOMS else need for need in manifest.needs)
    return f"service {name}: needs {', '.join(said) or 'no dependency'}"


def _finding(tell: Callable[[], str]) -> Finding:
    try:
        return True, tell()
    except BayError as error:
        return _refused(error)


def _refused(error: BayError) -> Finding:
    return False, f"{error.what}; {error.todo}"
