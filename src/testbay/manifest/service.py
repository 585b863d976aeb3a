"""The manifest: `[tool.testbay]` in a service's pyproject.toml, or the same keys in a testbay.toml (as ruff does)."""

import fnmatch
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from testbay.errors import ManifestError
from testbay.manifest import needs as dependencies
from testbay.manifest.compose.finding import COMPOSE_NAMES, TEST_FILE
from testbay.text import nearest

_TESTS = ("tests/integration", "tests")
_OF_PYTEST = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_NOT_SERVICES = ("node_modules", "site-packages", "tests", "test", "venv", "build", "dist")
_OF_CHECKS = ("defaults", "target", "check")  # what checks.tables knows


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _command(text: str) -> str:
    """A command line that splits into words."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a command: {error}") from None
    if not words:
        raise ValueError("an empty command")
    return text


def _by_dependency(table: dict[str, Any]) -> dict[str, Any]:
    """A table under the names that testbay has for its dependencies: `redis` and `valkey` are one."""
    for name in table:
        if not dependencies.is_known(dependencies.ALIASES.get(name, name)):
            raise ValueError(f"{name!r} is not a dependency{nearest(name, dependencies.names())}")
    return {dependencies.ALIASES.get(name, name): value for name, value in table.items()}


Command = Annotated[str, AfterValidator(_command)]


class Stream(_Strict):
    """One JetStream stream. Ages are seconds."""

    name: str = Field(pattern=r"^[^\s.*>/\\]{1,255}$")
    subjects: list[str] = Field(min_length=1)
    retention: str = Field(default="limits", pattern="^(limits|interest|workqueue)$")
    storage: str = Field(default="file", pattern="^(file|memory)$")
    max_age_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    duplicate_window_s: float = Field(default=120, ge=0, allow_inf_nan=False)


class NatsTable(_Strict):
    """What the service expects to find in NATS."""

    streams: list[Stream] = []


class Replay(_Strict):
    """The local stand-in that answers when a secret is absent."""

    secret: str
    start: Command
    ready: str = "/"
    env: dict[str, str] = {}


class Aws(_Strict):
    """Where the secrets are kept; the variables AWS_ROLE_ARN and AWS_REGION come first."""

    role: str | None = Field(default=None, min_length=20, pattern="^arn:")
    region: str | None = Field(default=None, min_length=1)


class Manifest(_Strict):
    """What testbay knows of one service. `root` is the service's folder, `file` where this was read."""

    service: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    needs: list[str] = list(dependencies.BUILT_IN)
    migrations: str | None = None
    migrate: Command | None = None
    tests: str | None = None
    coverage: Literal["service", "all", "off"] = "service"
    start: Command | None = None
    ready: str = "/"
    source: str | None = None
    python: str | None = Field(default=None, min_length=1)
    compose: str | Annotated[list[str], Field(min_length=1)] | None = None
    services: dict[str, str] = {}
    also: list[str] = []
    shards: int = Field(default=1, ge=1, le=256)
    ports: dict[str, int] = {}
    env: dict[str, str] = {}
    nats: NatsTable = NatsTable()
    secrets: dict[str, str] = {}
    aws: Aws = Aws()
    replay: Replay | None = None
    defaults: Any = None  # the checks have them already
    target: dict[str, Any] = {}  # of checks.tables, which are only loaded for who has some
    check: list[Any] = []
    file: Path
    root: Path

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
        if self.migrations and "postgres" not in self.needs:
            raise ValueError("migrations needs 'postgres' in needs")
        if self.nats.streams and "nats" not in self.needs:
            raise ValueError("nats.streams needs 'nats' in needs")
        for check in self.check:
            if strange := [name for name in check.without if name not in self.needs]:
                raise ValueError(f"check {check.id!r}: without {strange[0]!r}, which is not in needs")
        return self

    def secrets_set(self, environ: Mapping[str, str]) -> dict[str, bool]:
        """Which of the secrets the environment has; `APP_*` when it has one of those."""
        return {name: any(environ[one] for one in fnmatch.filter(environ, name)) for name in self.secrets}

    @property
    def tests_dir(self) -> Path | None:
        """The folder of the integration tests; None where pytest's own `testpaths` says it."""
        if self.tests is not None:
            return self.root / self.tests
        if (usual := self.root / _TESTS[0]).is_dir():
            return usual
        return None if _has_testpaths(self.root) else self.root / _TESTS[1]

    def compose_files(self, project: Path, environ: Mapping[str, str]) -> list[Path]:
        """The compose files: the service's own choice, else those that Compose finds in the project."""
        if self.compose:
            named = [self.compose] if isinstance(self.compose, str) else self.compose
            return [self.root / name for name in named]
        from testbay.manifest.compose import reader

        return reader.find(project, environ) or [project / TEST_FILE]

    @property
    def source_dir(self) -> Path:
        """What coverage measures: `source`, else the service's src/, else its folder."""
        return self.root / self.source if self.source else next(p for p in (self.root / "src", self.root) if p.is_dir())


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the service in `folder`.

    Raises:
        ManifestError: None there, not TOML, an unknown key, a wrong type, or a file it names is missing.
    """
    file = manifest_file(folder)
    if file is None:
        raise ManifestError(
            f"{folder} has no manifest",
            todo="add [tool.testbay] to its pyproject.toml, or a testbay.toml (docs/add-a-service.md)",
        )
    table = _read_table(file)
    try:
        manifest = Manifest(**(table | _checks(table) | {"file": file, "root": folder}))
    except ValidationError as error:
        what = f"{file}: {_explain(error)}{_of_check(error, table)}"
        raise ManifestError(what, todo="docs/reference.md lists every key") from None
    _check_files(manifest)
    return manifest


def _has_testpaths(folder: Path) -> bool:
    """Whether pytest's settings there may say where the tests are; pytest reads them itself."""
    files = (folder / name for name in _OF_PYTEST)
    return any("testpaths" in file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())


def _checks(table: dict[str, Any]) -> dict[str, Any]:
    """Targets and checks, as what they are; of another type they are left for the manifest to refuse."""
    found = {name: table[name] for name in _OF_CHECKS if name in table}
    if not found:
        return {}
    from testbay.manifest import checks

    return dict(checks.CheckTables(**found))


def manifest_file(folder: Path) -> Path | None:
    """The file in `folder` that holds a manifest, testbay.toml first."""
    if (folder / "testbay.toml").is_file():
        return folder / "testbay.toml"
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        tools = _toml(pyproject).get("tool")
        return pyproject if isinstance(tools, dict) and "testbay" in tools else None
    return None


def _read_table(file: Path) -> dict[str, Any]:
    document = _toml(file)
    table = document if file.name == "testbay.toml" else document["tool"]["testbay"]
    for reserved in ("file", "root"):
        if not isinstance(table, dict) or reserved in table:
            raise ManifestError(f"{file}: [tool.testbay] is not a table of known keys", todo="docs/reference.md")
    return table


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{file}: not TOML", why=str(error), todo="mend the line it names") from None


def _check_files(manifest: Manifest) -> None:
    usual = manifest.tests_dir is None or manifest.tests_dir.exists()  # who only checks a deployment has no tests here
    tests = manifest.tests or (None if usual or manifest.check else _TESTS[0])
    named = {"tests": tests, "migrations": manifest.migrations, "source": manifest.source}
    for key, relative in named.items():
        if relative is not None and not (manifest.root / relative).exists():
            raise ManifestError(
                f"{manifest.file}: {key} = {relative!r} does not exist",
                why=f"it is looked for in {manifest.root}",
                todo="create it or mend the path",
            )


def _fault(error: ValidationError) -> Any:
    """A misspelt key before the one that is missing for it."""
    return min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")


def _explain(error: ValidationError) -> str:
    """One fault as key, what is wrong, nearest valid name."""
    fault = _fault(error)
    location = list(fault["loc"])
    if location[:1] == ["check"]:
        del location[2:3]  # pydantic names a check's kind, which is not a key
    key = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(str(fault['loc'][-1]), _keys(fault['loc']))}"
    if fault["type"] == "union_tag_invalid":
        kind, known = str(fault["ctx"]["tag"]), fault["ctx"]["expected_tags"].replace("'", "")
        return f"{key}: unknown kind {kind!r}{nearest(kind, known.split(', '))}; known: {known}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _of_check(error: ValidationError, table: dict[str, Any]) -> str:
    """Which check it is about: they are not counted by hand."""
    match _fault(error)["loc"]:
        case ("check", int(number), *_) if isinstance(table["check"][number], dict):
            name = table["check"][number].get("id")
            return f" (the check {name!r})" if isinstance(name, str) else ""
    return ""


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys valid where an unknown one stood."""
    models: list[Any] = [Manifest]
    if location[0] in _OF_CHECKS:
        from testbay.manifest import checks

        models = [checks.CheckTables]
    for part in location[:-1]:
        tagged = [
            model for model in models if part in get_args(getattr(model.model_fields.get("kind"), "annotation", None))
        ]
        fields = [field for model in models for name, field in model.model_fields.items() if name == part]
        models = [model for field in fields for model in _models(field.annotation)] or tagged or models
    known = [(name, field.alias) for model in models for name, field in model.model_fields.items()]
    return [alias or name for name, alias in known if name not in ("file", "root")]


def _models(annotation: Any) -> list[Any]:
    """Every table that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def find_project(start: Path) -> Path:
    """The folder that holds the project: the nearest one upwards with a compose file or services/, else a git root.

    Raises:
        ManifestError: None was found up to the root of the file system.
    """
    folders = (start, *start.parents)
    for folder in folders:
        if (folder / TEST_FILE).is_file() or (folder / "services").is_dir():
            return folder
    root = next((folder for folder in folders if (folder / ".git").exists()), None)
    inside = folders[: folders.index(root) + 1] if root else ()
    for folder in inside:
        if any((folder / name).is_file() for name in COMPOSE_NAMES):
            return folder
    for folder in folders:
        if folder == root or manifest_file(folder):
            return folder
    raise ManifestError(
        f"{start} is in no project",
        why="no docker-compose.test.yml, services/ or manifest here or above",
        todo="go to your project's folder (docs/getting-started.md)",
    )


def service_folders(project: Path) -> dict[str, Path]:
    """A project's services by name: each folder with a manifest, two levels deep at most.

    The project itself and services/ come first; a manifest elsewhere, as in backend/ or packages/, under a name that is
    not taken.
    """
    usual = [project, *sorted((project / "services").glob("*/"))]
    services: dict[str, Path] = {}
    for folder in filter(manifest_file, usual):
        name = _name_of(folder)
        if name in services:
            raise ManifestError(
                f"two services are called {name}", why=f"{services[name]} and {folder}", todo="rename one of them"
            )
        services[name] = folder
    for folder in filter(manifest_file, _elsewhere(project)):
        services.setdefault(_name_of(folder), folder)
    return services


def _elsewhere(project: Path) -> Iterator[Path]:
    """Folders of the project, and those in them, without what tools make and without tests."""
    for pattern in ("*/", "*/*/"):
        for folder in sorted(project.glob(pattern)):
            if not any(part.startswith(".") or part in _NOT_SERVICES for part in folder.relative_to(project).parts):
                yield folder


def _name_of(folder: Path) -> str:
    file = manifest_file(folder)
    table = _read_table(file) if file else {}
    return str(table.get("service", folder.name))


def find_service(name: str | None, project: Path, here: Path | None = None) -> Manifest:
    """The manifest of a service by name; without one, of the service `here` belongs to, else of the only one.

    Raises:
        ManifestError: Unknown, or several and none named.
    """
    if name is None and here is not None:
        inside = (folder for folder in (here, *here.parents) if project in folder.parents)
        if found := next(filter(manifest_file, inside), None):
            return load_manifest(found)
    folders = service_folders(project)
    if name is None and len(folders) == 1:
        return load_manifest(next(iter(folders.values())))
    if name in folders:
        return load_manifest(folders[name])
    known = ", ".join(folders) or "none: a service is a folder with [tool.testbay] in its pyproject.toml"
    what = "which service?" if name is None else f"unknown service {name!r}{nearest(name, folders)}"
    raise ManifestError(what, why=f"services of {project}: {known}", todo="name one of them")
