"""Building the records of a reading from a model: `docker compose config`'s output, or our own reader's."""

import posixpath
from pathlib import Path, PurePosixPath
from typing import Any

from testbay.errors import ManifestError
from testbay.manifest.compose import dockerfile
from testbay.manifest.compose.finishing import Origins
from testbay.manifest.compose.interpolation import Lookup
from testbay.manifest.compose.reading import Built, ComposeService, Granted, Port, Prerequisite, Volume


class RecordMaker:
    """Builds records of the services of one model. `lookup` supplies secrets and configs kept in variables."""

    def __init__(
        self, model: dict[str, Any], lookup: Lookup, origins: Origins, problems: dict[str, ManifestError]
    ) -> None:
        self._model = model
        self._lookup = lookup
        self._origins = origins
        self._problems = problems

    def services(self) -> tuple[ComposeService, ...]:
        """Every service, in the model's order."""
        return tuple(self._service(key, made) for key, made in (self._model.get("services") or {}).items())

    def _service(self, key: str, made: dict[str, Any]) -> ComposeService:
        built = dockerfile.read(made["build"]) if isinstance(made.get("build"), dict) else Built()
        given = {name: value for name, value in (made.get("environment") or {}).items() if value is not None}
        environment = built.environment | given
        origins = dict.fromkeys(built.environment, "the Dockerfile") | dict.fromkeys(given, "environment")
        origins |= {name: origin for name, origin in self._origins.get(key, {}).items() if name in given}
        entrypoint, command = _started(made, built)
        return ComposeService(
            key=key,
            image=made.get("image") or "",
            environment=environment,
            origins=origins,
            command=command,
            entrypoint=entrypoint,
            user=str(made.get("user") or built.user),
            ports=tuple(_port(port) for port in made.get("ports") or ()),
            expose=tuple(str(port) for port in made.get("expose") or ()),
            volumes=tuple(_volume(volume) for volume in made.get("volumes") or ()),
            tmpfs=tuple(made.get("tmpfs") or ()),
            configs=self._granted(made, "configs", "/"),
            secrets=self._granted(made, "secrets", "/run/secrets"),
            depends_on=tuple(_prerequisite(name, how) for name, how in (made.get("depends_on") or {}).items()),
            profiles=tuple(made.get("profiles") or ()),
            networks=tuple(made.get("networks") or ()),
            container_name=made.get("container_name") or "",
            build=bool(made.get("build")),
            built=built,
            problem=self._problems.get(key),
            definition=made,
        )

    def _granted(self, made: dict[str, Any], kind: str, folder: str) -> tuple[Granted, ...]:
        return tuple(self._grant(entry, kind, folder) for entry in made.get(kind) or ())

    def _grant(self, entry: dict[str, Any], kind: str, folder: str) -> Granted:
        name = str(entry.get("source"))
        said = (self._model.get(kind) or {}).get(name) or {}
        content, missing = said.get("content"), "is external" if said.get("external") else ""
        if variable := said.get("environment"):
            content = self._lookup(variable)
            missing = f"is the variable {variable}, which is not set" if content is None else ""
        return Granted(
            name=name,
            target=str(PurePosixPath(folder) / (entry.get("target") or name)),
            file=Path(said["file"]) if said.get("file") else None,
            content=content,
            missing=missing,
        )


def _started(made: dict[str, Any], built: Built) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The entrypoint and the command; an entrypoint of the compose file clears the command of the Dockerfile."""
    entrypoint, command = made.get("entrypoint"), tuple(made.get("command") or ())
    if entrypoint is not None:
        return tuple(entrypoint), command
    return built.entrypoint, command or built.command


def _port(made: dict[str, Any]) -> Port:
    published = str(made.get("published") or "0").partition("-")[0]
    return Port(
        host=int(published) if published.isdecimal() else 0,
        container=int(made["target"]),
        protocol=made.get("protocol") or "tcp",
        address=made.get("host_ip") or "",
    )


def _volume(made: dict[str, Any]) -> Volume:
    return Volume(
        type=made.get("type") or "volume",
        source=_clean(made.get("source") or ""),
        target=_clean(made["target"]),
        read_only=bool(made.get("read_only")),
    )


def _clean(path: str) -> str:
    """The path; an absolute one without a slash at its end and with one at its beginning, as only some Composes say."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def _prerequisite(name: str, how: dict[str, Any]) -> Prerequisite:
    return Prerequisite(
        service=name,
        condition=how.get("condition") or "service_started",
        required=how.get("required", True) not in (False, "false"),
    )
