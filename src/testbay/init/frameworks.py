"""The variables that frameworks read by themselves: Dynaconf, django-configurations, environ-config, Flask, Sanic."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from testbay.init.project import Project, Source
from testbay.init.syntax import assignments, keywords, last, owner, text_of
from testbay.init.variable import Read, sample_of

_DYNACONF = ("Dynaconf", "LazySettings", "FlaskDynaconf", "DjangoDynaconf")
_FILES = ("settings.toml", "config/settings.toml")
_ALIAS = re.compile(r"(?m)(?:^|[\s:,\[{-])\*\w")
_DEPTH = 5  # of groups in groups: more is a circle
_URI = "SQLALCHEMY_DATABASE_URI"  # which Flask-SQLAlchemy reads from the app's `config`
# What takes its variable's name from the kind of value, and not from the setting.
_NAMED = {"DatabaseURLValue": "DATABASE_URL", "CacheURLValue": "CACHE_URL", "EmailURLValue": "EMAIL_URL"}


def of_dynaconf(project: Project) -> Iterator[Read]:
    """List a variable for each key of the settings files of Dynaconf and each key that the code reads."""
    for source in project.code:
        if source.tree is None or not any(maker in source.text for maker in _DYNACONF):
            continue
        for call in source.of(ast.Call):
            if last(call.func) in _DYNACONF:
                yield from _of_maker(call, project, source)
                return


def _of_maker(call: ast.Call, project: Project, source: Source) -> Iterator[Read]:
    options = {name.lower().removesuffix("_for_dynaconf"): value for name, value in keywords(call).items()}
    prefix = _prefix(options.get("envvar_prefix", ast.Constant("DYNACONF")))
    files = [text for key in ("settings_files", "settings_file") for text in _texts(options.get(key))]
    for file in files or _FILES:
        folder = "" if (project.root / file).is_file() else f"{source.path.parent}/"
        for key, default in _keys_of_table(_table(project, f"{folder}{file}"), in_sections="environments" in options):
            yield Read(name=f"{prefix}{key.upper()}", default=default, required=False, where=f"{folder}{file}")
    for other in project.code:
        for key, where in _keys_read(other):
            yield Read(name=f"{prefix}{key.upper()}", default="", required=False, where=where)


def _table(project: Project, file: str) -> dict[str, Any]:
    """Read a settings file in TOML or YAML; empty where it is neither, or has an alias, which may be its own part."""
    if not file.endswith((".yaml", ".yml")):
        return project.toml(file)
    read: Any = {}
    text = project.text(file)
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        read = None if _ALIAS.search(text) else yaml.safe_load(text)
    return read if isinstance(read, dict) else {}


def _prefix(node: ast.expr) -> str:
    """The prefix of the variables; with `False` they have none, and one that is not known counts as the default."""
    is_off = isinstance(node, ast.Constant) and node.value is False
    return "" if is_off else f"{text_of(node) or 'DYNACONF'}_".upper()


def _texts(node: ast.expr | None) -> list[str]:
    return [text_of(part) for part in ast.walk(node) if isinstance(part, ast.Constant)] if node else []


def _keys_of_table(table: dict[str, Any], *, in_sections: bool) -> Iterator[tuple[str, str]]:
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


def _keys_read(source: Source) -> Iterator[tuple[str, str]]:
    """Find `settings.KEY` and `settings["KEY"]`, with the place."""
    for node in source.of(ast.Attribute, ast.Subscript) if "settings" in source.text else ():
        if isinstance(node, ast.Attribute) and last(node.value) == "settings":
            yield node.attr, source.at(node)
        elif isinstance(node, ast.Subscript) and last(node.value) == "settings" and text_of(node.slice).isidentifier():
            yield text_of(node.slice), source.at(node)


def of_configurations(project: Project) -> Iterator[Read]:
    """Find those of django-configurations: `SECRET_KEY = values.SecretValue()` reads DJANGO_SECRET_KEY.

    One without a default is required where its value is a secret or says so.
    """
    for source in project.code if project.has("django-configurations") else ():
        for target, call in source.assignments:
            if isinstance(call, ast.Call) and owner(call) == "values" and last(call.func).endswith("Value"):
                kind, said = last(call.func), keywords(call)
                default = text_of(call.args[0]) if call.args else text_of(said.get("default", ast.Constant("")))
                prefix = text_of(said["environ_prefix"]) if "environ_prefix" in said else "DJANGO"
                name = text_of(said.get("environ_name", ast.Constant(last(target))))
                yield Read(
                    name=_NAMED.get(kind) or "_".join(filter(None, (prefix, name))),
                    default=default,
                    required=kind == "SecretValue" or "environ_required" in said,
                    where=source.at(call),
                    sample=sample_of(kind.removesuffix("Value").lower()),
                )


def of_environ_config(project: Project) -> Iterator[Read]:
    """Find those of environ-config: `db = environ.group(Db)` in a class for the prefix SHOP reads SHOP_DB_HOST."""
    for source in project.code if project.has("environ-config") else ():
        classes = {node.name: node for node in source.of(ast.ClassDef)}
        for node in classes.values():
            made = [one for one in node.decorator_list if ast.unparse(one).startswith("environ.config(")]
            for call in (one for one in made if isinstance(one, ast.Call)):
                prefix = keywords(call).get("prefix", ast.Constant("APP"))
                yield from _of_group(node, text_of(prefix), classes, source, _DEPTH)


def _of_group(
    node: ast.ClassDef, prefix: str, classes: dict[str, ast.ClassDef], source: Source, depth: int
) -> Iterator[Read]:
    for target, call in assignments(node.body):
        name = "_".join(filter(None, (prefix, last(target)))).upper()
        if not isinstance(call, ast.Call) or owner(call) != "environ":
            continue
        if last(call.func) == "group" and call.args and depth and (inner := classes.get(last(call.args[0]))):
            yield from _of_group(inner, name, classes, source, depth - 1)
        elif last(call.func) in ("var", "bool_var"):
            given = keywords(call)
            default = next(iter(call.args), given.get("default"))
            said = str(default.value) if isinstance(default, ast.Constant) and default.value is not None else ""
            named = text_of(given["name"]) if "name" in given else name
            sample = sample_of(last(given["converter"])) if "converter" in given else "test"
            yield Read(name=named, default=said, required=default is None, where=source.at(call), sample=sample)


def of_apps(project: Project) -> Iterator[Read]:
    """Find those that are copied into the app's `config`: Sanic's SANIC_…, `from_prefixed_env()` of Flask and Quart.

    That is each prefix that is copied, with the keys that the program takes from `config`.
    """
    prefixes = dict(pair for source in project.code for pair in _prefixes(source))
    if project.has("flask-sqlalchemy"):
        yield from (
            Read(name=f"{prefix}{_URI}", default="", required=False, where=at) for prefix, at in prefixes.items()
        )
    for source in project.code if prefixes else ():
        for key, where in _keys_taken(source):
            yield from (Read(name=f"{prefix}{key}", default="", required=False, where=where) for prefix in prefixes)


def _prefixes(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the prefixes of the variables that a module has copied, each with its place."""
    for call in source.of(ast.Call):
        if last(call.func) == "from_prefixed_env":
            prefix = call.args[0] if call.args else keywords(call).get("prefix")
            named = text_of(prefix) if prefix else "QUART" if "quart" in source.imports else "FLASK"
            yield f"{named}_", source.at(call)
        elif last(call.func) == "Sanic":
            given = keywords(call).get("env_prefix")
            yield text_of(given) if given else "SANIC_", source.at(call)


def _keys_taken(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the keys of `app.config["DB"]["HOST"]`, which is DB__HOST, `app.config.get("DB")` and `app.config.DB`."""
    names = {last(target) for target, value in source.assignments if last(value) == "config"} | {"config"}
    for node in source.of(ast.Attribute, ast.Call, ast.Subscript):
        key = _key(node, names)
        if key and key.isupper():
            yield key, source.at(node)


def _key(node: ast.AST, names: set[str]) -> str:
    match node:
        case ast.Attribute(value=held, attr=key) if last(held) in names:
            return key
        case ast.Call(args=[key, *_]) if last(node.func) == "get" and owner(node) in names:
            return text_of(key)
        case ast.Subscript(value=held, slice=key) if last(held) in names:
            return text_of(key)
        case ast.Subscript(value=ast.Subscript() as held, slice=key) if above := _key(held, names):
            return f"{above}__{text_of(key)}"
    return ""
