"""What unit tests share: small files, small programs, small servers; nothing outside tmp_path and loopback."""

import io
import os
import shlex
import socket
import socketserver
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.served import running
from tests.warm import Warm

from testbay.manifest.load import load_manifest
from testbay.manifest.service import Manifest
from testbay.manifest.targets import Target
from testbay.output import Voice
from testbay.production.checks.report import Report
from testbay.production.checks.runner import Plan
from testbay.production.checks.runner import run as checks_run
from testbay.settings import Settings

Conversation = Callable[[socket.socket], None]
Listen = Callable[[Conversation], int]
Program = Callable[..., Path]
Service = Callable[..., Manifest]
Ask = Callable[..., Report]
Pytest = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]

COMPOSE = """
services:
  db:
    image: postgres:18-alpine
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: "${DB_PASSWORD:-secret}"}
    ports: ["127.0.0.1:${POSTGRES_PORT:-15433}:5432"]
  cache:
    image: docker.dragonflydb.io/dragonflydb/dragonfly:v1.39.0
    ports: ["16380:6379"]
  queue:
    image: nats:2.12.4-alpine
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes an executable that says one thing, as `NAME --version` does."""

    def make(name: str, says: str = "", *, code: int = 0, folder: str = "bin") -> Path:
        file = tmp_path / folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\necho {shlex.quote(says)}\nexit {code}\n", encoding="utf-8")
        file.chmod(0o755)
        return file

    return make


@pytest.fixture
def servers(program: Program) -> None:
    """A program for every dependency, of the version the compose file names, in tmp_path/bin."""
    for tool in ("postgres", "initdb", "psql"):
        program(tool, f"{tool} (PostgreSQL) 18.1")
    program("dragonfly", "dragonfly v1.39.0-aaaa")
    program("nats-server", "nats-server: v2.12.4")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a caller who has only our programs, and no Docker."""
    folder = str(tmp_path / "bin")
    environ = {"PATH": folder, "TESTBAY_POSTGRES_BIN": folder, "DOCKER_HOST": f"unix://{tmp_path}/no-docker"}
    return Settings(engine="embedded", cache_dir=tmp_path / "cache", environ=environ)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project: the compose file and an empty services folder."""
    folder = tmp_path / "project"
    (folder / "services").mkdir(parents=True)
    (folder / "docker-compose.test.yml").write_text(COMPOSE, encoding="utf-8")
    return folder


@pytest.fixture
def service(project: Path) -> Service:
    """Makes the service `shop`; the text is the body of its [tool.testbay]."""

    def make(keys: str = "", name: str = "shop") -> Manifest:
        folder = project / "services" / name
        (folder / "tests/integration").mkdir(parents=True, exist_ok=True)
        text = f'[tool.testbay]\nservice = "{name}"\n{keys}\n'
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")
        return load_manifest(folder)

    return make


class Recording:
    """A voice and what it said."""

    def __init__(self, *, encoding: str = "utf-8", tty: bool = False, **environ: str) -> None:
        self._bytes = io.BytesIO()
        stream = io.TextIOWrapper(self._bytes, encoding=encoding, newline="\n")
        stream.isatty = lambda: tty  # type: ignore[method-assign]
        self.voice = Voice(stream, environ=environ)
        self._stream = stream

    @property
    def text(self) -> str:
        self._stream.flush()
        return self._bytes.getvalue().decode(self._stream.encoding)


@pytest.fixture
def recording() -> type[Recording]:
    """Makes a voice that speaks into memory."""
    return Recording


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Starts a server on a free port of loopback that holds the given conversation with whoever connects."""
    with ExitStack() as opened:

        def start(conversation: Conversation) -> int:
            class Handler(socketserver.BaseRequestHandler):
                def handle(self) -> None:
                    with suppress(OSError):
                        conversation(self.request)

            return opened.enter_context(running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)))

        yield start


# Nothing of this machine: other people's plugins cost seconds and change what is reported.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


@pytest.fixture(scope="session")
def warm_pytest() -> Warm:
    """A Python that has imported pytest; our plugin is imported by each run, since pytest rewrites it."""
    environ = {**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:"}
    return Warm("pytest", "_pytest.*", "pytest", environ=environ)


@pytest.fixture
def run(tmp_path: Path, warm_pytest: Warm) -> Pytest:
    """Runs pytest on a small file, with the plugin as `testbay run` loads it; both outputs are one."""

    def start(text: str, *arguments: str, record: bool = True) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
        argv = ["-p", "testbay.pytest_plugin", "-p", "no:cacheprovider", "test_it.py"]
        argv += ["-W", "error", "--strict-config", "--strict-markers"]  # as a suite may have it
        argv += ["--testbay-record", str(tmp_path / "tests.jsonl")] if record else []
        environ = {**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:{os.environ.get('TOOL', '')}"}
        return warm_pytest.run([*argv, *arguments], cwd=tmp_path, environ=environ)

    return start


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks the checks of a manifest; the text is what follows its `service`, the port that of the deployment.

    A check that fails is asked again after a moment, instead of half a second and a whole one.
    """
    monkeypatch.setattr("testbay.production.checks.runner._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("testbay.production.checks.loop.starved_s", lambda: 0.0)  # or a busy machine is in the verdicts

    def start(text: str, port: int = 9, *, environ: dict[str, str] | None = None, **more: Any) -> Report:
        (tmp_path / "tests/integration").mkdir(parents=True, exist_ok=True)
        (tmp_path / "testbay.toml").write_text(f'service = "shop"\n{text}\n', encoding="utf-8")
        manifest = load_manifest(tmp_path)
        target = next(iter(manifest.target.values()), Target(base_url=f"http://127.0.0.1:{port}"))
        base = target.model_copy(update={"base_url": target.base_url.replace("PORT", str(port))})
        options: dict[str, Any] = {"phase": "post-deploy", "environ": environ or {"PATH": os.environ["PATH"]}} | more
        plan = Plan(service="shop", root=tmp_path, checks=manifest.check, target=base, **options)
        return checks_run(plan)

    return start
