"""The keys of a manifest, and what each may hold."""

import fnmatch
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, field_validator, model_validator

from testbay.manifest import conventions
from testbay.manifest import needs as dependencies
from testbay.manifest.fields import SERVICE, Table
from testbay.manifest.testpaths import folders_of_tests
from testbay.text import nearest

TESTS = ("tests/integration", "tests")


def _command(text: str) -> str:
    """Validate a command line: it must split into words."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a command: {error}") from None
    if not words:
        raise ValueError("an empty command")
    return text


def _by_dependency(table: dict[str, Any]) -> dict[str, Any]:
    """Rename a table's keys to testbay's names of dependencies: `redis` and `valkey` become `dragonfly`."""
    for name in table:
        if not dependencies.is_known(dependencies.ALIASES.get(name, name)):
            raise ValueError(f"{name!r} is not a dependency{nearest(name, dependencies.names())}")
    meant = {dependencies.ALIASES.get(name, name): value for name, value in table.items()}
    if len(meant) < len(table):
        raise ValueError(f"{', '.join(table)}: two of them are one dependency")
    return meant


def _variables(table: dict[str, Any]) -> dict[str, Any]:
    """Validate variables with which a program can be started."""
    for name, value in table.items():
        if not name or "=" in name or "\0" in f"{name}{value}":
            raise ValueError(f"{name!r} cannot be a variable: a name has no =, and neither part has a NUL")
    return table


def _text_or_false(value: object) -> object:
    """Validate a variable's value, or false for one that is not to be exported."""
    if value is False or isinstance(value, str):
        return value
    raise ValueError('write a text: "…", or false to export no such variable')


Command = Annotated[str, AfterValidator(_command)]
Variables = Annotated[dict[str, str], AfterValidator(_variables)]
TextOrFalse = Annotated[str | Literal[False], PlainValidator(_text_or_false)]


class Stream(Table):
    """One JetStream stream. Ages are seconds."""

    name: str = Field(pattern=r"^[^\s.*>/\\]{1,255}$")
    subjects: list[str] = Field(min_length=1)
    retention: str = Field(default="limits", pattern="^(limits|interest|workqueue)$")
    storage: str = Field(default="file", pattern="^(file|memory)$")
    max_age_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    duplicate_window_s: float = Field(default=120, ge=0, allow_inf_nan=False)


class NatsTable(Table):
    """The streams and consumers that the service expects to find in NATS."""

    streams: list[Stream] = []


class Replay(Table):
    """The local stand-in that replaces the LLM when a secret is absent."""

    secret: str
    start: Command
    ready: str = "/"
    env: Variables = {}


class Aws(Table):
    """The AWS role and region for secrets; the variables AWS_ROLE_ARN and AWS_REGION beat them."""

    role: str | None = Field(default=None, min_length=20, pattern="^arn:")
    region: str | None = Field(default=None, min_length=1)


class Manifest(Table):
    """The manifest of one service. `root` is the service's folder, `file` the file of the manifest."""

    service: str = Field(pattern=SERVICE)
    needs: list[str] = list(dependencies.BUILT_IN)
    migrations: str | None = None
    migrate: Command | None = None
    tests: str | None = None
    coverage: Literal["service", "all", "off"] = "service"
    start: Command | None = None
    ready: str = "/"
    preload: Literal["auto", "off"] | list[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]] = "auto"
    source: str | None = None
    python: str | None = Field(default=None, min_length=1)
    compose: str | Annotated[list[str], Field(min_length=1)] | None = None
    services: dict[str, str] = {}
    also: list[str] = []
    shards: int = Field(default=1, ge=1, le=256)
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = 1
    ports: dict[str, int] = {}
    exports: list[Literal["PG", "DB", "REDIS", "VALKEY", "NATS"]] = []
    env: Annotated[dict[str, TextOrFalse], AfterValidator(_variables)] = {}
    nats: NatsTable = NatsTable()
    secrets: dict[str, str] = {}
    aws: Aws = Aws()
    replay: Replay | None = None
    defaults: Any = None  # the checks have them already
    target: dict[str, Any] = {}  # of checks.tables, which are only loaded for who has some
    watch: Any = None
    check: list[Any] = []
    file: Path
    root: Path

    @property
    def mapped(self) -> dict[str, TextOrFalse]:
        """The variables exported besides the usual ones, with their values; `env` takes precedence."""
        return conventions.mapped(self.exports) | self.env

    @field_validator("needs")
    @classmethod
    def _known(cls, needs: list[str]) -> list[str]:
        meant = [dependencies.ALIASES.get(name, name) for name in needs]
        for name in meant:
            if not dependencies.is_known(name):
                known = dependencies.names()
                raise ValueError(f"{name!r} is not a dependency{nearest(name, known)}; known: {', '.join(known)}")
        return list(dict.fromkeys(meant))

    @field_validator("ports")
    @classmethod
    def _ports(cls, ports: dict[str, int]) -> dict[str, int]:
        ports = _by_dependency(ports)
        for name, port in ports.items():
            if not 0 < port < 65536:
                raise ValueError(f"{name} = {port} is not a port")
        return ports

    @field_validator("services")
    @classmethod
    def _services(cls, services: dict[str, str]) -> dict[str, str]:
        return _by_dependency(services)

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, path in secrets.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*\*?", name):
                raise ValueError(f"{name!r} is not a name for a variable")
            if name.endswith("*") != path.endswith("/*"):
                raise ValueError(f"{name} = {path!r}: a folder ends in '/*', and the variables for it in '*'")
        return secrets

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if self.migrations and self.migrate:
            raise ValueError("migrations and migrate exclude each other: a folder of SQL, or a command")
        for name, message in self._presupposed():
            if name not in self.needs:
                raise ValueError(message)
        return self

    def _presupposed(self) -> Iterator[tuple[str, str]]:
        """Yield each dependency that a key presupposes, with the message for its absence from `needs`."""
        if self.migrations:
            yield "postgres", "migrations needs 'postgres' in needs"
        if self.nats.streams:
            yield "nats", "nats.streams needs 'nats' in needs"
        for word in self.exports:
            needed = conventions.SETS[word][0]
            yield needed, f"exports: {word!r} needs {needed!r} in needs"
        for key, named in {"ports": [*self.ports], "services": [*self.services]}.items():
            for name in named:
                yield name, f"{key}: {name!r} is not in needs"
        for check in self.check:
            for name in check.without:
                yield name, f"check {check.id!r}: without {name!r}, which is not in needs"

    def secrets_set(self, environ: Mapping[str, str]) -> dict[str, bool]:
        """Map each secret to whether the environment has it; for `APP_*`, whether it has any such variable."""
        return {name: any(environ[one] for one in fnmatch.filter(environ, name)) for name in self.secrets}

    @property
    def tests_dir(self) -> Path | None:
        """The folder of the integration tests; None if pytest finds them, by its `testpaths` or from the root."""
        if self.tests is not None:
            return self.root / self.tests
        own, shared = (self.root / name for name in TESTS)
        if own.is_dir():
            return own
        return shared if shared.is_dir() and not folders_of_tests(self.root)[1] else None

    @property
    def source_dir(self) -> Path:
        """The folder measured by coverage: `source`, else the service's src/ if Python is in it, else its folder."""
        if self.source:
            return self.root / self.source
        usual = self.root / "src"  # of a package's Rust or TypeScript, say, where coverage would find nothing
        return usual if any(usual.rglob("*.py")) else self.root
