"""Reading docker-compose.test.yml: the one list of dependencies, for both engines.

Only what testbay needs is read: image, environment, command, ports and `${VARIABLES}`; Compose itself reads the rest.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from testbay.errors import ManifestError

_LIMIT_BYTES = 250_000
_LIMIT_KEYS = 10_000
_LIMIT_NESTING = 20
# What a `$` begins; after an operator the word goes on to the closing brace, which a nested variable moves.
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<op>:?[-?+]|(?=\}))|)", re.ASCII
)
_BRACE = re.compile(r"\$\{|\}")
_TEXT_TAGS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:null")


@dataclass(frozen=True, kw_only=True)
class Port:
    """One published port: `host` is 0 when the file leaves the choice open, the first of a range otherwise."""

    host: int
    container: int
    protocol: str = "tcp"
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One mount: `type` is bind, volume, tmpfs, image or npipe; `source` is absolute for a bind, a key for a volume."""

    type: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Granted:
    """One config or secret that a service is granted, resolved: exactly one of `file`, `content`, `external` is set.

    `target` is the absolute path inside the container; `content` comes from the file's `content:` or `environment:`.
    """

    name: str
    target: str
    file: Path | None = None
    content: str | None = field(default=None, repr=False)
    external: bool = False


@dataclass(frozen=True, kw_only=True)
class Prerequisite:
    """One entry of `depends_on`: the service, and whether it must have started, be healthy or have ended well."""

    service: str
    condition: str = "service_started"
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class ComposeService:
    """One service of the compose file, interpolated, merged and resolved: what its container would get.

    `environment` has `env_file` in it; `origins` says for each name where its value came from, in words. `command` and
    `entrypoint` are words as Compose hands them over (it runs no shell by itself); None is the image's own, an empty
    tuple clears the image's. `definition` is the whole service as `docker compose config` prints it, for the keys
    that have no field here.
    """

    key: str
    image: str
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[str, ...] = ()
    configs: tuple[Granted, ...] = ()
    secrets: tuple[Granted, ...] = ()
    depends_on: tuple[Prerequisite, ...] = ()
    profiles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    container_name: str = ""
    build: bool = False
    definition: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def repository(self) -> str:
        """The image's name without registry, tag and digest: `docker.io/library/postgres:15` is `postgres`."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[0]

    @property
    def tag(self) -> str:
        """The image's tag, empty when it names none."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]


@dataclass(frozen=True, kw_only=True)
class ComposeFile:
    """The reading of a project's compose files, its services in the file's order.

    `path` is the first file, `files` are all that were named (an `include` is not); `directory` is what relative paths
    start from. `reader` says who read it: `Docker Compose 2.26.1` or `testbay`. `definition` has the top-level keys
    beside `services` as `docker compose config` prints them: networks, volumes, configs, secrets.
    """

    path: Path
    services: tuple[ComposeService, ...]
    variables: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    directory: Path = Path()
    reader: str = "testbay"
    definition: dict[str, Any] = field(default_factory=dict, repr=False)


class _Loader(yaml.SafeLoader):
    """Scalars stay as written: `on` is no boolean and `22:22` no number, as in the YAML 1.2 that Compose reads."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys (`<<`) copy: merges of merges would fill the memory from a page of text."""
        super().flatten_mapping(node)
        if len(node.value) > _LIMIT_KEYS:
            raise yaml.YAMLError(f"merge keys make more than {_LIMIT_KEYS} entries")


_Loader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] in _TEXT_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_compose(path: Path, environ: Mapping[str, str]) -> ComposeFile:
    """Read a compose file.

    Raises:
        ManifestError: It is missing, not YAML, too large, oddly shaped, or a variable it requires is unset.
    """
    text = _read(path)
    services = _services(path, _parse(path, text))
    return ComposeFile(
        path=path,
        services=tuple(_service(path, key, raw, environ) for key, raw in services.items()),
        variables=frozenset(re.findall(r"\$\{?([A-Za-z_]\w*)", text)),
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LIMIT_BYTES + 1).decode()
    except FileNotFoundError:
        raise ManifestError(
            f"{path} does not exist",
            why="it is the list of dependencies, for both engines",
            todo='add it, or name the one you have: compose = "docker-compose.yml" in the manifest',
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read", why=str(error), todo="mend the file") from None
    if len(text) > _LIMIT_BYTES:
        raise ManifestError(f"{path}: larger than {_LIMIT_BYTES} bytes", todo="a compose file is a page of text")
    return text


def _parse(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader that knows fewer types
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # All but the first: an explicit tag on a value that is no such thing, or nesting without end.
        raise ManifestError(
            f"{path}: not YAML", why=" ".join(str(error).split()), todo="mend the line it names"
        ) from None


def _services(path: Path, document: Any) -> dict[str, Any]:
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ManifestError(f"{path}: no services", todo="a compose file has a top-level key 'services:'")
    for key, raw in services.items():
        if not isinstance(raw, dict):
            raise ManifestError(f"{path}: services.{key} has no keys", todo="give it an image, indented below it")
    return services


def _service(path: Path, key: str, raw: dict[str, Any], environ: Mapping[str, str]) -> ComposeService:
    where = f"{path}: services.{key}"

    def text(value: Any, name: str) -> str:
        return interpolate(_scalar(value, f"{where}.{name}"), environ, where)

    return ComposeService(
        key=str(key),
        image=text(raw.get("image"), "image"),
        environment={
            name: environ.get(name, "") if value is None else text(value, f"environment.{name}")
            for name, value in _pairs(raw.get("environment"), f"{where}.environment").items()
        },
        command=_words(raw.get("command"), partial(text, name="command"), f"{where}.command"),
        ports=tuple(
            _port(entry, partial(text, name="ports"), f"{where}.ports")
            for entry in _list(raw.get("ports"), f"{where}.ports")
        ),
    )


def _scalar(value: Any, where: str) -> str:
    """One value as text. What is nested is refused unseen: aliases can make a page of it terabytes when printed."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise ManifestError(f"{where}: a single value is expected", todo="write one word, or quote it")
    return str(value)


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ManifestError(f"{where}: a list is expected", todo="begin each entry with a dash, on a line of its own")
    return value


def _words(command: Any, text: Callable[[Any], str], where: str) -> tuple[str, ...]:
    """Both spellings compose allows: a line as for a shell, or a list of words."""
    if not isinstance(command, str):
        return tuple(text(word) for word in _list(command, where))
    try:
        return tuple(shlex.split(text(command)))
    except ValueError as error:
        raise ManifestError(f"{where}: {error}", todo="close the quotation, or write it as a list of words") from None


def _pairs(environment: Any, where: str) -> dict[str, Any]:
    """Both spellings compose allows, a mapping or a list of NAME=value; None is a bare NAME: the caller's value."""
    if isinstance(environment, dict):
        return {str(name): value for name, value in environment.items()}
    entries = [_scalar(entry, where).partition("=") for entry in _list(environment, where)]
    return {name: value if assigned else None for name, assigned, value in entries}


def _port(entry: Any, text: Callable[[Any], str], where: str) -> Port:
    if isinstance(entry, dict):
        published, target = text(entry.get("published")), text(entry.get("target"))
    else:
        # Filled in first: a variable's own colons (${PORT:-1}) separate nothing.
        published, _, target = text(entry).rpartition(":")
        published = re.sub(r"^[\d.]+:|^\[[^]]*\]:", "", published)
    host = _first_port(published) if published else 0
    container = _first_port(target.partition("/")[0])
    if host is None or not container:
        raise ManifestError(f"{where}: {f'{published}:{target}'!r} is no port", todo='write "15433:5432"')
    return Port(host=host, container=container)


def _first_port(text: str) -> int | None:
    """`5432`, or where the range `5432-5440` begins."""
    match = re.fullmatch(r"([0-9]{1,5})(?:-[0-9]{1,5})?", text)
    return int(match[1]) if match and int(match[1]) < 65536 else None


def interpolate(text: str, environ: Mapping[str, str], where: str, *, nesting: int = 0) -> str:
    """`${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?message}`, `${VAR:+other}` and `$$`, as Compose does.

    A default, message or other may hold variables again; only the one that is used is looked at.
    """
    done, position = "", 0
    while match := _VARIABLE.search(text, position):
        done += text[position : match.start()]
        position = match.end()
        if match["escaped"] or match["plain"]:
            done += "$" if match["escaped"] else environ.get(match["plain"], "")
            continue
        end = _closing_brace(text, position) if match["name"] and nesting < _LIMIT_NESTING else -1
        if end < 0:
            raise ManifestError(
                f"{where}: {text[:200]!r} is no valid variable", todo="write ${NAME:-default}, or $$ for a dollar"
            )
        word = partial(interpolate, text[position:end], environ, where, nesting=nesting + 1)
        done += _value(match["name"], match["op"], word, environ, where)
        position = end + 1
    return done + text[position:]


def _closing_brace(text: str, position: int) -> int:
    """Where the variable ends whose inside begins at `position`; -1 when it does not."""
    open_braces = 1
    for brace in _BRACE.finditer(text, position):
        open_braces += 1 if brace[0] == "${" else -1
        if not open_braces:
            return brace.start()
    return -1


def _value(name: str, op: str, word: Callable[[], str], environ: Mapping[str, str], where: str) -> str:
    value = environ.get(name)
    present = bool(value) if op.startswith(":") else value is not None
    if op.endswith("+"):
        return word() if present else ""
    if present:
        return value or ""
    if op.endswith("?"):
        raise ManifestError(f"{where} needs the variable {name}", why=word(), todo=f"export {name}=…")
    return word() if op else ""
