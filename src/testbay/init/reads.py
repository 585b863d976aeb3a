"""Every variable of the environment that a program reads, with its default: from the syntax trees of its sources."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from testbay.init.project import Project, Source

_OF_OS = ("getenv", "get", "setdefault")
_OF_PACKAGES = (  # django-environ, environs, decouple
    *("env", "config", "str", "int", "float", "bool", "list", "json", "url", "path"),
    *("db", "db_url", "cache", "cache_url", "search_url", "email_url"),
)
_BY_THEMSELVES = {"db": "DATABASE_URL", "db_url": "DATABASE_URL", "cache": "CACHE_URL", "cache_url": "CACHE_URL"}
# What a type takes, by a word of its name; the first that fits.
_SAMPLES = {
    "Email": "test@example.com",
    "Url": "http://localhost:9",
    "url": "http://localhost:9",
    "bool": "true",
    "int": "1",
    "Int": "1",
    "float": "1",
    "list": "[]",
    "set": "[]",
    "tuple": "[]",
    "dict": "{}",
    "json": "{}",
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A variable; `required` when the program does not start without it, `sample` a value that its type takes."""

    name: str
    default: str
    required: bool
    where: str
    sample: str = "test"


def reads(project: Project) -> list[Read]:
    """Each name once; a read with a default before one without."""
    found: dict[str, Read] = {}
    for source in [*project.code, *(s for s in project.sources if s.path.parts[-2:] == ("migrations", "env.py"))]:
        for read in _of_source(source):
            known = found.get(read.name)
            if known is None or (read.default and not known.default):
                found[read.name] = read
    return list(found.values())


def _of_source(source: Source) -> Iterator[Read]:
    if source.tree is None or not any(
        word in source.text for word in ("environ", "getenv", "env", "config", "Settings")
    ):
        return
    at_import = {node for statement in _at_import(source.tree.body) for node in ast.walk(statement)}
    declared = _declared(source.tree)
    for node in ast.walk(source.tree):
        where = f"{source.path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load):
            if name := _text(node.slice):
                yield Read(name=name, default="", required=node in at_import, where=where)
        elif isinstance(node, ast.Call) and (name := _asked(node)):
            required = node in at_import and name not in declared and _raises(node)
            cast = next((ast.unparse(word.value) for word in node.keywords if word.arg == "cast"), "")
            sample = _sample(cast or _last(node.func))
            yield Read(name=name, default=_default(node), required=required, where=where, sample=sample)
        elif isinstance(node, ast.ClassDef) and any(_last(base).endswith("BaseSettings") for base in node.bases):
            yield from _of_settings(node, source)


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported; the main program's own do not."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _at_import(statement.body)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            yield statement


def _is_environ(node: ast.expr) -> bool:
    return _last(node) == "environ"


def _asked(call: ast.Call) -> str:
    """The variable that os.getenv, environ.get, environs' and django-environ's env or decouple's config asks for."""
    name = _last(call.func)
    owner = _last(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if name == "config" and owner == "dj_database_url":
        return next((_text(word.value) for word in call.keywords if word.arg == "env"), "DATABASE_URL")
    if owner == "env" and name in _BY_THEMSELVES and not call.args:
        return _BY_THEMSELVES[name]
    of_os = name in _OF_OS and owner in ("environ", "os", "") and (owner or name == "getenv")
    of_packages = name in _OF_PACKAGES and (owner == "env" or (not owner and name in ("env", "config")))
    asked = _text(call.args[0]) if call.args and (of_os or of_packages) else ""
    return asked if asked.isidentifier() and asked.isupper() else ""


def _raises(call: ast.Call) -> bool:
    """Whether the call fails when the variable is missing: os.getenv does not, the packages' calls do."""
    has_default = len(call.args) > 1 or any(word.arg == "default" for word in call.keywords)
    return _last(call.func) not in _OF_OS and not has_default


def _declared(tree: ast.Module) -> set[str]:
    """The variables that `environ.Env(DEBUG=(bool, False))` gives a default."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and _last(node.func) in ("Env", "FileAwareEnv")
    ]
    return {word.arg for call in calls for word in call.keywords if word.arg and isinstance(word.value, ast.Tuple)}


def _sample(kind: str) -> str:
    return next((sample for word, sample in _SAMPLES.items() if word in kind), "test")


def _default(call: ast.Call) -> str:
    named = [word.value for word in call.keywords if word.arg == "default"]
    given = next(iter([*named, *call.args[1:2]]), None)
    return str(given.value) if isinstance(given, ast.Constant) and given.value is not None else ""


def _of_settings(node: ast.ClassDef, source: Source) -> Iterator[Read]:
    """The fields of a pydantic settings class."""
    prefix = next((_prefix(one) for one in ast.walk(node) if _prefix(one)), "")
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if field.target.id == "model_config" or field.target.id.startswith("_"):
            continue
        name, default, required = _field(field, prefix)
        optional = "None" in ast.unparse(field.annotation)
        where = f"{source.path}:{field.lineno}"
        sample = _sample(ast.unparse(field.annotation))
        yield Read(name=name, default=default, required=required and not optional, where=where, sample=sample)


def _field(field: ast.AnnAssign, prefix: str) -> tuple[str, str, bool]:
    """Its variable's name, its default as text, and whether it has none."""
    assert isinstance(field.target, ast.Name)
    name, value = (prefix + field.target.id).upper(), field.value
    if isinstance(value, ast.Call) and _last(value.func) == "Field":
        words = {word.arg: word.value for word in value.keywords}
        alias = next((_text(words[key]) for key in ("validation_alias", "alias", "env") if key in words), "")
        given = words.get("default") or next(iter(value.args), None)
        value = given if not (isinstance(given, ast.Constant) and given.value is ...) else None
        name = alias or name
        if "default_factory" in words:
            return name, "", False
    default = str(value.value) if isinstance(value, ast.Constant) and value.value is not None else ""
    return name, default, value is None


def _prefix(node: ast.AST) -> str:
    """`env_prefix`, given to SettingsConfigDict or set in an inner class."""
    if isinstance(node, ast.keyword) and node.arg == "env_prefix":
        return _text(node.value)
    if isinstance(node, ast.Assign) and [_last(target) for target in node.targets] == ["env_prefix"]:
        return _text(node.value)
    return ""


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _last(node: ast.expr) -> str:
    """The last name of a dotted one."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
