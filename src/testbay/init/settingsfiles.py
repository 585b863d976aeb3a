"""Addresses of servers, and variables, in settings files: INI, TOML and YAML, read line by line, and JSON."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from testbay.init.project import Project, once
from testbay.init.variable import SERVERS, Read

_NAMES = ("*.ini", "*.cfg", "*.conf", "*.toml", "*.yaml", "*.yml", "*.json")
_FOLDERS = ("", "config/", "conf/", "settings/", "etc/", "config/*/", "conf/*/")
_ALEMBIC = "alembic.ini"
_ENDS = tuple(name.removeprefix("*") for name in _NAMES)
_INNER = ("", "config", "conf", "settings")
_OTHERS = re.compile(
    r"compose|^(testbay|pyproject|poetry|Pipfile|package|tox|pytest|setup|mypy|ruff|\.)|lock", re.IGNORECASE
)
_LINE = re.compile(r"\s*\"?([\w.]+)\"?\s*[:=]\s*\"?'?([^\"'#,]+)")
_TITLE = re.compile(r"\s*\[?(\w+)[\]:]\s*")
_REFERENCE = re.compile(
    r"\$\{(?:(?P<omega>oc\.env:)|env[:.])?(?P<name>[A-Z][A-Z0-9_]+)(?:(?:,|:-?)(?P<default>[^{}]*))?\}"
    r"|%\((?P<ini>[A-Z][A-Z0-9_]+)\)s"
    r"|\benv_var\(\s*['\"](?P<dbt>[A-Z][A-Z0-9_]+)['\"](?:\s*,\s*['\"]?(?P<else>[^'\")]*)['\"]?)?\s*\)"
)
_FILTER = re.compile(r"\{\{ *|(\| *\w+)? *\}\}")  # what Jinja has around an expression
_OVERRULED = re.compile(r"set_main_option|set_section_option|environ|getenv|[Ss]ettings|create_(async_)?engine")


def groups(project: Project, *, defaults: bool = False) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield groups of keys on neighbouring lines, each with the place of the first one.

    With `defaults`, what refers to a variable has the default that stands beside it.
    """
    for name in _files(project):
        if name.rpartition("/")[2] != _ALEMBIC or name in fixed_for_alembic(project):
            text = project.text(name)
            text = _FILTER.sub("", _REFERENCE.sub(_default, text)) if defaults else text
            yield from _of_json(name, text) if name.endswith(".json") else _of(name, text)


def reads(project: Project) -> Iterator[Read]:
    """Find the variables that files refer to: `${oc.env:DB_HOST,localhost}`, `${DB:-x}`, `%(DB)s`, `env_var('DB')`.

    Only OmegaConf and dbt are known to refuse one that is not set.
    """
    for name in _files(project):
        for number, line in enumerate(project.text(name).splitlines(), 1):
            for match in _REFERENCE.finditer(line.partition(" #")[0]):
                refuses = (match["omega"] and match["default"] is None) or (match["dbt"] and match["else"] is None)
                named = match["name"] or match["ini"] or match["dbt"]
                yield Read(name=named, default=_default(match), required=bool(refuses), where=f"{name}:{number}")


def _default(match: re.Match[str]) -> str:
    return (match["default"] or match["else"] or "").strip("\"' ")


def _files(project: Project) -> list[str]:
    """List the files in the usual folders, and those beside the program's modules that it names.

    A .env file is one only where `dotenv_values` reads it, whatever the environment has.
    """
    patterns = [folder + name for folder in _FOLDERS for name in _NAMES]
    files = {file.relative_to(project.root).as_posix() for pattern in patterns for file in project.root.glob(pattern)}
    texts = "".join(source.text for source in project.code)
    folders = {source.path.parent / inner for source in project.code for inner in _INNER}
    for folder in (project.root / folder for folder in folders if ".." not in folder.parts):
        inside = folder.iterdir() if folder.is_dir() else ()
        named = (file for file in inside if file.name.endswith(_ENDS) and file.name in texts)
        files |= {file.relative_to(project.root).as_posix() for file in named}
    files |= set(map(str, project.below(_ALEMBIC)))
    dotenv = [".env"] if "dotenv_values(" in texts and "**os.environ" not in texts else []
    return sorted(name for name in files if not _OTHERS.search(name.rpartition("/")[2])) + dotenv


def _of(name: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    found: dict[str, str] = {}
    start, begin = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if (match := _LINE.match(line)) and match[2].strip():
            start, found[begin + match[1].lower()] = start if found else number, match[2].strip()
        elif not line.strip().startswith(("#", ";")):
            if found:
                yield f"{name}:{start}", found
            title = _TITLE.fullmatch(line)
            # [redis] names the server of all below it, as the prefix of names in an environment does
            begin = f"{title[1]}_" if title and SERVERS & set(title[1].upper().split("_")) else ""
            found = {}


def _of_json(name: str, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the texts and numbers of each object: they may all stand on one line."""
    objects: list[dict[str, str]] = []

    def kept(pairs: list[tuple[str, Any]]) -> None:
        objects.append({key.lower(): str(value) for key, value in pairs if isinstance(value, str | int)})

    with suppress(ValueError, RecursionError):
        json.loads(text, object_pairs_hook=kept)
    yield from ((name, found) for found in objects)


@once
def fixed_for_alembic(project: Project) -> list[str]:
    """List the files alembic.ini whose address Alembic's env.py uses, whatever the environment has."""
    names = [_ALEMBIC, *map(str, project.below(_ALEMBIC))]
    fixed = [name for name in names if re.search(r"(?m)^sqlalchemy\.url\s*=\s*postgresql", project.text(name))]
    scripts = [source.text for source in project.sources if source.path.name == "env.py"]
    return fixed if scripts and not any(_OVERRULED.search(text) for text in scripts) else []
