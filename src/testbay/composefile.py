"""Reading docker-compose.test.yml: the one list of dependencies, for both engines.

Only what testbay needs is read: image, environment, command, ports and `${VARIABLES}`; Compose itself reads the rest.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from testbay.errors import ManifestError

_LIMIT_BYTES = 1_000_000
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<op>:?[-?+])(?P<word>[^}]*))?\}|(?P<bad>))"
)


@dataclass(frozen=True, kw_only=True)
class Port:
    """One published port: `host` is 0 when the file leaves the choice open, `variable` is where it takes it from."""

    host: int
    container: int
    variable: str = ""


@dataclass(frozen=True, kw_only=True)
class ComposeService:
    """One service of the compose file, interpolated."""

    key: str
    image: str
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()

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
    """A compose file and its services in the file's order."""

    path: Path
    services: tuple[ComposeService, ...]


def load_compose(path: Path, environ: Mapping[str, str]) -> ComposeFile:
    """Read a compose file.

    Raises:
        ManifestError: It is missing, not YAML, too large, or a variable it requires is unset.
    """
    try:
        text = path.read_text(encoding="utf-8")
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
    services = _services(path, _parse(path, text))
    return ComposeFile(path=path, services=tuple(_service(path, key, raw, environ) for key, raw in services.items()))


def _parse(path: Path, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(
            f"{path}: not YAML", why=" ".join(str(error).split()), todo="mend the line it names"
        ) from None


def _services(path: Path, document: Any) -> dict[str, Any]:
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict) or not all(isinstance(s, dict) for s in services.values()):
        raise ManifestError(f"{path}: no services", todo="a compose file has a top-level key 'services:'")
    return services


def _service(path: Path, key: str, raw: dict[str, Any], environ: Mapping[str, str]) -> ComposeService:
    def text(value: Any) -> str:
        return interpolate(_scalar(value), environ, f"{path}: services.{key}")

    command = raw.get("command") or ()
    words = shlex.split(text(command)) if isinstance(command, str) else [text(word) for word in command]
    return ComposeService(
        key=str(key),
        image=text(raw.get("image", "")),
        environment={name: text(value) for name, value in _pairs(raw.get("environment")).items()},
        command=tuple(words),
        ports=tuple(_port(path, key, entry, text) for entry in raw.get("ports") or ()),
    )


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _pairs(environment: Any) -> dict[str, Any]:
    """Both spellings compose allows: a mapping, or a list of NAME=value."""
    if isinstance(environment, dict):
        return {str(name): value for name, value in environment.items()}
    return {str(entry).partition("=")[0]: str(entry).partition("=")[2] for entry in environment or ()}


def _port(path: Path, key: str, entry: Any, text: Any) -> Port:
    if isinstance(entry, dict):
        published, target = _scalar(entry.get("published", "")), text(entry.get("target", ""))
    else:
        # The variable part may itself hold colons (${A:-1}), so the container's port is what follows the last one.
        head, _, target = str(entry).rpartition(":")
        target = text(target.partition("/")[0])
        published = re.sub(r"^[\d.]+:|^\[[^]]*\]:", "", head)
    host = text(published)
    if not target.isdigit() or not (host == "" or host.isdigit()):
        raise ManifestError(f"{path}: services.{key}.ports: {entry!r} is no single port", todo='write "15433:5432"')
    variable = re.match(r"\$\{(\w+)", published)
    return Port(host=int(host or 0), container=int(target), variable=variable[1] if variable else "")


def interpolate(text: str, environ: Mapping[str, str], where: str) -> str:
    """`${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?message}`, `${VAR:+other}` and `$$`, as Compose does."""

    def one(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name = match["plain"] or match["name"]
        if name is None:
            raise ManifestError(
                f"{where}: {text!r} is no valid variable", todo="write ${NAME:-default}, or $$ for a dollar"
            )
        return _value(name, match["op"] or "", match["word"] or "", environ, where)

    return _VARIABLE.sub(one, text)


def _value(name: str, op: str, word: str, environ: Mapping[str, str], where: str) -> str:
    value = environ.get(name)
    present = bool(value) if op.startswith(":") else value is not None
    if op.endswith("+"):
        return word if present else ""
    if present:
        return value or ""
    if op.endswith("?"):
        raise ManifestError(f"{where} needs the variable {name}", why=word, todo=f"export {name}=…")
    return word if op else ""
