"""The environment variables of a program that uses Dynaconf: its prefix, and each key of its settings."""

import ast
from collections.abc import Iterator
from typing import Any

from testbay.init.project import Project, Source
from testbay.init.syntax import calls, keywords, last, text_of
from testbay.init.variable import Read

_MAKERS = ("Dynaconf", "LazySettings", "FlaskDynaconf", "DjangoDynaconf")
_FILES = ("settings.toml", "config/settings.toml")


def reads(project: Project) -> Iterator[Read]:
    """List a variable for each key of the settings files and each key that the code reads."""
    for source in project.code:
        if source.tree is None or not any(maker in source.text for maker in _MAKERS):
            continue
        for call in calls(source.nodes):
            if last(call.func) in _MAKERS:
                yield from _of(call, project, source)
                return


def _of(call: ast.Call, project: Project, source: Source) -> Iterator[Read]:
    options = {name.lower().removesuffix("_for_dynaconf"): value for name, value in keywords(call).items()}
    prefix = _prefix(options.get("envvar_prefix", ast.Constant("DYNACONF")))
    files = [text for key in ("settings_files", "settings_file") for text in _texts(options.get(key))]
    for file in files or _FILES:
        folder = "" if (project.root / file).is_file() else f"{source.path.parent}/"
        for key, default in _keys(project.toml(f"{folder}{file}"), in_sections="environments" in options):
            yield Read(name=f"{prefix}{key.upper()}", default=default, required=False, where=f"{folder}{file}")
    for other in project.code:
        for key, line in _keys_read(other):
            yield Read(name=f"{prefix}{key.upper()}", default="", required=False, where=f"{other.path}:{line}")


def _prefix(node: ast.expr) -> str:
    """The prefix of the variables; with `False` they have none, and one that is not known counts as the default."""
    is_off = isinstance(node, ast.Constant) and node.value is False
    return "" if is_off else f"{text_of(node) or 'DYNACONF'}_".upper()


def _texts(node: ast.expr | None) -> list[str]:
    return [text_of(part) for part in ast.walk(node) if isinstance(part, ast.Constant)] if node else []


def _keys(table: dict[str, Any], *, in_sections: bool) -> Iterator[tuple[str, str]]:
    """Yield each key of a settings file with its value, first those for tests.

    Keys of tables in tables are joined by two underlines.
    """
    sections = sorted(table.items(), key=lambda section: "test" not in section[0].lower())
    tables = [value for _, value in sections if isinstance(value, dict)] if in_sections else [table]
    for one in tables:
        yield from _flat(one, "")


def _flat(table: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}__")
        elif not isinstance(value, list):
            yield f"{before}{key}", str(value)


def _keys_read(source: Source) -> Iterator[tuple[str, int]]:
    """Find `settings.KEY` and `settings["KEY"]`, with the line."""
    if source.tree is None or "settings" not in source.text:
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and last(node.value) == "settings":
            yield node.attr, node.lineno
        elif isinstance(node, ast.Subscript) and last(node.value) == "settings" and text_of(node.slice).isidentifier():
            yield text_of(node.slice), node.lineno
