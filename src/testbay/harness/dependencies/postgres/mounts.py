"""The mounted files that init scripts name by their place in the container, and their places on this machine."""

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from testbay.harness.dependencies.postgres.image import Script
from testbay.manifest.compose.reading import ComposeService

_LONGEST = 1_000_000  # bytes of a script whose text is looked at: a longer one is a dump
_DATA = "/var/lib/postgresql"
SCRATCH = "/tmp"  # noqa: S108 - the container's, of which each script has its own here
_COPIED = re.compile(r"\b(?:from|to)\s+'$", re.IGNORECASE)  # what stands before the file of a COPY


@dataclass(frozen=True, kw_only=True)
class Named:
    """`places` maps a mount's place in the container to that on this machine; `paths` are what of it is named."""

    places: dict[str, Path]
    paths: tuple[Path, ...]

    def here(self, text: str, *, is_sql: bool) -> str:
        """The text of a script with the places of this machine; one in /tmp that may be a value of a table stays."""

        def place(match: re.Match[str]) -> str:
            stays = match[1] == SCRATCH and _is_value(match, is_sql=is_sql)
            return match[0] if stays else f"{self.places[match[1]]}{match[2]}"

        return _pattern(self.places).sub(place, text)


def _is_value(match: re.Match[str], *, is_sql: bool) -> bool:
    """Return whether a path may be a text of SQL: in a shell script in single quotes, in SQL outside of psql's own."""
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
    if _COPIED.search(line[-40:]):
        return False
    return not line.lstrip().startswith("\\") if is_sql else line.endswith("'")


def named(service: ComposeService, scripts: Sequence[Script]) -> Named:
    """Find the mounts that one of the scripts names; a folder of data is never one of them."""
    mounts = dict(_mounts(service))
    places: dict[str, Path] = {}
    paths: dict[Path, None] = {}
    for match in (match for script in scripts for match in _pattern(mounts).finditer(text_of(script))):
        inside = mounts[match[1]] / posixpath.normpath(f"/{match[2]}").lstrip("/")
        while not os.path.exists(inside) and inside != mounts[match[1]]:  # noqa: PTH110 - False to an endless name
            inside = inside.parent  # of a name with a variable or a star in it
        if inside.resolve().is_relative_to(mounts[match[1]].resolve()):  # a link may lead out: in a container it ends
            places[match[1]] = mounts[match[1]]
            paths[inside] = None
    return Named(places=places, paths=tuple(paths))


def text_of(script: Script) -> str:
    """The text of a script; empty for a packed or a long one, and for one that is not ours to read."""
    if isinstance(script.source, str):
        return script.source
    plain = script.source.suffix in (".sql", ".sh") and os.access(script.source, os.R_OK)
    if not plain or script.source.stat().st_size > _LONGEST:
        return ""
    return script.source.read_text(encoding="utf-8", errors="surrogateescape")


def _mounts(service: ComposeService) -> Iterator[tuple[str, Path]]:
    data = [PurePosixPath(folder) for folder in (_DATA, service.environment.get("PGDATA") or _DATA)]
    for volume in (*service.built.copied, *service.volumes):
        target = PurePosixPath(volume.target)
        overlaps = any(target.is_relative_to(folder) or folder.is_relative_to(target) for folder in data)
        if volume.type == "bind" and not overlaps and Path(volume.source).exists():
            yield volume.target, Path(volume.source)
    for granted in (*service.secrets, *service.configs):
        if granted.file is not None and granted.file.exists():
            yield granted.target, granted.file


def _pattern(mounts: dict[str, Path]) -> re.Pattern[str]:
    """A mount's place where a path begins, and the rest of that path; the longest place counts."""
    places = "|".join(re.escape(target) for target in sorted(mounts, key=len, reverse=True)) or "(?!)"
    return re.compile(rf"(?<![\w./$}}-])({places})(?![\w.-])((?:/[\w.@+-]*)*)")
