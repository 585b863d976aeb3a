"""The requirements in tables that pip does not read: those of Poetry, Pipenv, pdm, uv and Hatch."""

import re
from collections.abc import Iterator
from typing import Any

from testbay.init.project import Project

GROUPS = ("test", "tests", "testing", "dev")
_ENVIRONMENTS = ("default", "hatch-test", *GROUPS)
_SAME = re.compile(r"(==|>=|<=|~=|!=|<|>)[^|]*")  # as PEP 440 has it
_CARET = re.compile(r"\^(\d+)[\d.]*")


def requirements(project: Project, *, built: bool) -> list[str]:
    """List the requirements. Poetry's main ones are left out if the project is `built`: pip then reads them there."""
    return list(dict.fromkeys([*_listed(project), *_of_poetry(project, built=built), *_of_pipenv(project)]))


def _listed(project: Project) -> Iterator[str]:
    pdm = project.table("tool", "pdm", "dev-dependencies")
    hatch = (project.table("tool", "hatch", "envs", name) for name in _ENVIRONMENTS)
    lists = [
        *(pdm.get(name) for name in GROUPS),
        project.table("tool", "uv").get("dev-dependencies"),
        *(env.get(key) for env in hatch for key in ("dependencies", "extra-dependencies")),
    ]
    texts = (text for one in lists if isinstance(one, list) for text in one)
    yield from (text for text in texts if isinstance(text, str) and not text.startswith("-"))


def _of_poetry(project: Project, *, built: bool) -> Iterator[str]:
    poetry = ("tool", "poetry")
    tables = [] if built else [project.table(*poetry, "dependencies")]
    tables += [project.table(*poetry, "dev-dependencies")]
    tables += [project.table(*poetry, "group", name, "dependencies") for name in GROUPS]
    yield from (text for table in tables for text in _requirements(table))


def _of_pipenv(project: Project) -> Iterator[str]:
    said = project.toml("Pipfile")
    for table in (said.get("packages"), said.get("dev-packages")):
        yield from _requirements(table if isinstance(table, dict) else {})


def _requirements(table: dict[str, Any]) -> Iterator[str]:
    """Make a requirement of each key that has a version; paths, URLs and optional ones are left out."""
    for name, value in table.items():
        about = value if isinstance(value, dict) else {"version": value}
        if name.lower() == "python" or about.get("optional") or about.keys() & {"path", "file", "url", "git"}:
            continue
        extras = about.get("extras")
        marked = f"[{','.join(map(str, extras))}]" if isinstance(extras, list) else ""
        yield f"{name}{marked}{_version(about.get('version'))}"


def _version(said: Any) -> str:
    """Convert a version to PEP 440; empty for any version, and for notations that PEP 440 lacks."""
    text = said.strip() if isinstance(said, str) else ""
    if caret := _CARET.fullmatch(text):
        return f">={text[1:]},<{int(caret[1]) + 1}"
    if re.fullmatch(r"\d[\w.]*", text):
        return f"=={text}"
    return text if _SAME.fullmatch(text) else ""
