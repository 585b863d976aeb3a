"""The settings of a postgresql.conf that the compose file mounts."""

import posixpath
import re
from collections.abc import Iterator

from testbay.harness.dependencies import container
from testbay.manifest.compose.reading import ComposeService

Setting = tuple[str, str]

_SETTING = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)('(?:[^']|'')*'|[^#\s]+)?\s*(?:#.*)?")


def settings(service: ComposeService, config_file: str) -> tuple[tuple[Setting, ...], tuple[str, ...]]:
    """Read the mounted file that `config_file` names, or the one mounted over the image's: its settings, and notes."""
    named = config_file or _over_the_images(service)
    said = container.text(service, named) if named else None
    if said is None:
        note = f"service {service.key!r}: testbay cannot read config_file={named}, which the image itself holds"
        return (), (note,) if named else ()
    found = list(_lines(service, named, said, {named}))
    included = [value for name, value in found if name in ("include", "include_dir")]
    notes = [f"service {service.key!r}: testbay does not follow include {value} of {named}" for value in included]
    return tuple((name, value) for name, value in found if not name.startswith("include")), tuple(notes)


def assigned(text: str) -> list[Setting]:
    """The settings of a file's text, in their order, without what it includes."""
    found = (_SETTING.fullmatch(line) for line in text.splitlines())
    return [(match[1].lower(), _unquoted(match[2])) for match in found if match is not None and match[2] is not None]


def _lines(service: ComposeService, named: str, text: str, read: set[str]) -> Iterator[Setting]:
    """Yield the settings of a file and of those that it includes, each once; an include not mounted stays one."""
    for line in text.splitlines():
        match = _SETTING.fullmatch(line)
        if match is None or match[2] is None:
            continue
        name, value = match[1].lower(), _unquoted(match[2])
        place = posixpath.normpath(posixpath.join(posixpath.dirname(named), value))
        files = _included(service, name, place) if name.startswith("include") else []
        for file in (file for file in files if file not in read):
            read.add(file)
            yield from _lines(service, file, container.text(service, file) or "", read)
        if not files:
            yield name, value


def _included(service: ComposeService, name: str, place: str) -> list[str]:
    if name == "include_dir":
        files = (file for file in container.entries(service, place) if file.endswith(".conf") and file[0] != ".")
        return [f"{place}/{file}" for file in files]
    file = container.host_path(service, place)
    return [place] if container.holds(service, place) and (file is None or file.is_file()) else []


def _over_the_images(service: ComposeService) -> str:
    """The configuration file mounted over the one that the image reads by default."""
    cluster = service.environment.get("PGDATA") or "/var/lib/postgresql/data"
    bitnami = [f"{folder}/postgresql/conf/postgresql.conf" for folder in ("/bitnami", "/opt/bitnami")]
    places = bitnami if "bitnami" in service.based_on else [f"{cluster.rstrip('/')}/postgresql.conf"]
    return next((place for place in places if any(volume.target == place for volume in service.volumes)), "")


def _unquoted(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
