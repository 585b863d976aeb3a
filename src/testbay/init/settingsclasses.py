"""The settings classes of pydantic, and the environment variables of their fields."""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property

from testbay.init.project import Project, Source, once
from testbay.init.syntax import assignments, calls, entries, keywords, last, text_of
from testbay.init.variable import Read, sample_of

_DSNS = {"PostgresDsn": "postgres", "RedisDsn": "dragonfly", "NatsDsn": "nats"}
_LOADS = ("load", "safe_load", "loads", "full_load", "dotenv_values")
_BASES = ("BaseSettings", "GoodConf")
_LONG = 1000
_DEPTH = 5  # of classes in classes: more is a circle


class SettingsClasses:
    """The settings classes of a project."""

    def __init__(self, project: Project) -> None:
        self._own = re.sub(r"\W", "_", project.name[0]).upper() + "_"
        sources = [*project.tests, *project.code]  # tests/settings.py; of two classes of a name the program's counts
        self._classes = {node.name: node for source in sources for node in source.of(ast.ClassDef)}
        self._filled = {name for source in project.code for name in _filled(source)}
        self._filled |= {name for name, node in self._classes.items() if _prefers_a_file(node) or _renames(node)}
        made = [call for source in project.code for call in source.of(ast.Call) if last(call.func) in self._classes]
        self._given = [(last(call.func), keywords(call)) for call in made]

    def is_settings(self, node: ast.ClassDef) -> bool:
        """Return whether a class is derived from BaseSettings, directly or through classes of the project.

        One that a file fills does not count: `Settings(**yaml.safe_load(text))` leaves nothing to the environment.
        """
        return node.name not in self._filled and any(
            last(base).endswith(_BASES) for one in self._line(node) for base in one.bases
        )

    @cached_property
    def all_fields(self) -> set[ast.AST]:
        """The nodes of the fields of all settings classes, and of the models in them that variables reach."""
        found = [node for node in self._classes.values() if self.is_settings(node)]
        reached = [node for node in found if _configured(self._line(node), "env_nested_delimiter")]
        for node in reached:
            types = (field.annotation for field in node.body if isinstance(field, ast.AnnAssign))
            inner = [one for annotation in types for one in self._named_in(annotation)]
            reached += [one for one in inner if one not in reached]
        return {field for node in (*found, *reached) for field in node.body}

    def _named_in(self, annotation: ast.expr) -> list[ast.ClassDef]:
        """Return the project's classes that a type names."""
        names = (part.id for part in ast.walk(annotation) if isinstance(part, ast.Name))
        return [self._classes[name] for name in names if name in self._classes]

    def _line(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """Return the class and its base classes in the project, the nearest first."""
        line = [node]
        for one in line:
            known = [self._classes[last(base)] for base in one.bases if last(base) in self._classes]
            line += [base for base in known if base not in line]
        return line

    def fields(self, node: ast.ClassDef, source: Source) -> Iterator[Read]:
        """Yield the variable of each field, including those of base classes."""
        line = self._line(node)
        given = [words for name, words in self._given if name == node.name]
        said = {text_of(words.get("_env_prefix", ast.Constant(""))) for words in given}
        prefix = said.pop() if len(said) == 1 else ""  # of several, that of the class
        prefix, delimiter = prefix or _configured(line, "env_prefix"), _configured(line, "env_nested_delimiter")
        constant = [{name for name, value in words.items() if isinstance(value, ast.Constant)} for words in given]
        without = set.intersection(*constant) if constant else set()
        is_exact = _is_set(line, "case_sensitive")
        seen: set[str] = set()
        for one in line:
            for named, annotation in _fields(one, prefix, source, is_exact=is_exact, without=without):
                own = prefix.upper() == self._own and named.name.startswith(self._own)
                read = replace(named, short=named.name.removeprefix(self._own)) if own else named
                if read.name not in seen:
                    seen.add(read.name)
                    yield from self._nested(self._member(read, annotation), annotation, delimiter, source, _DEPTH)

    def _member(self, read: Read, annotation: ast.expr) -> Read:
        """Set the sample of a field whose type is an Enum of the project to its first member."""
        known = self._classes.get(last(annotation))
        if known is None or not any(last(base).endswith("Enum") for base in known.bases):
            return read
        members = [text_of(node.value) for node in known.body if isinstance(node, ast.Assign)]
        return replace(read, sample=next(filter(None, members), read.sample))

    def _nested(self, read: Read, annotation: ast.expr, delimiter: str, source: Source, depth: int) -> Iterator[Read]:
        """Yield the variables of the fields of a nested model, if the settings have a delimiter for their names."""
        inner = self._named_in(annotation)
        models = [one for one in inner if any(last(base) == "BaseModel" for base in one.bases)]
        if not models:
            yield from () if inner and self.is_settings(inner[0]) else (read,)
        elif delimiter and depth:
            for below, kind in _fields(models[0], f"{read.name}{delimiter}", source):
                needed = replace(below, required=below.required and read.required)
                yield from self._nested(needed, kind, delimiter, source, depth - 1)
        else:
            yield replace(read, sample="{}")


def _filled(source: Source) -> Iterator[str]:
    """Yield the classes that are made of what a file holds, by name."""
    loaded = {last(target) for target, value in source.assignments if _is_loaded(value)}
    for call in source.of(ast.Call):
        whole = [word.value for word in call.keywords if word.arg is None]
        if any(_is_loaded(value) or last(value) in loaded - {""} for value in whole):
            yield last(call.func)


def _prefers_a_file(node: ast.ClassDef) -> bool:
    """Return whether `settings_customise_sources` of a class asks a file before the environment."""
    order = order_of_sources(node)
    before = order[: order.index("env_settings")] if "env_settings" in order else []
    return any(re.search("Yaml|Toml|Json", source) for source in before)


def _renames(node: ast.ClassDef) -> bool:
    """Return whether a function makes the names of the variables: `alias_generator=…`."""
    return any(isinstance(part, ast.keyword) and part.arg == "alias_generator" for part in ast.walk(node))


def order_of_sources(node: ast.ClassDef) -> list[str]:
    """List what `settings_customise_sources` of a class returns, the first to be asked first; empty without it."""
    made = (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "settings_customise_sources")
    returned = (one.value for function in made for one in ast.walk(function) if isinstance(one, ast.Return))
    return next((list(map(ast.unparse, one.elts)) for one in returned if isinstance(one, ast.Tuple)), [])


def _is_loaded(node: ast.expr) -> bool:
    return any(last(call.func) in _LOADS for call in calls(ast.walk(node)))


@once
def settings_classes(project: Project) -> SettingsClasses:
    return SettingsClasses(project)


def _fields(
    node: ast.ClassDef, prefix: str, source: Source, *, is_exact: bool = False, without: Collection[str] = ()
) -> Iterator[tuple[Read, ast.expr]]:
    """Yield the variable and the type of each field, but those `without` one: the program itself gives them a value."""
    named = _named_in_config(node)
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        kind = ast.unparse(field.annotation)
        if field.target.id in ("model_config", *without) or field.target.id.startswith("_") or "ClassVar" in kind:
            continue
        name, default, required = _field(field, prefix, is_exact=is_exact)
        name = named.get(field.target.id, name)
        required = required and "None" not in kind and "Optional" not in kind
        client = next((need for word, need in _DSNS.items() if word in kind), "")
        sample = sample_of(kind)
        sample = sample * -(-_shortest(field) // len(sample)) if sample.isalpha() and _shortest(field) else sample
        read = Read(name=name, default=default, required=required, where=source.at(field), sample=sample, client=client)
        yield replace(read, is_json=sample == "[]" and "NoDecode" not in kind), field.annotation


def _shortest(field: ast.AnnAssign) -> int:
    """Return the `min_length` of a field, or 0."""
    words = [node for node in ast.walk(field) if isinstance(node, ast.keyword) and node.arg == "min_length"]
    numbers = [word.value.value for word in words if isinstance(word.value, ast.Constant)]
    return next((number for number in numbers if isinstance(number, int) and number < _LONG), 0)


def _named_in_config(node: ast.ClassDef) -> dict[str, str]:
    """Map fields to the variables that `fields = {"dsn": {"env": "SHOP_DSN"}}` of an inner class Config names."""
    tables = [value for target, value in assignments(ast.walk(node)) if last(target) == "fields"]
    pairs = [pair for table in tables if isinstance(table, ast.Dict) for pair in entries(table)]
    inner = ((text_of(key), dict(_texts(value))) for key, value in pairs)
    return {key: _alias(words["env"]) for key, words in inner if "env" in words}


def _texts(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    yield from ((text_of(key), value) for key, value in entries(node)) if isinstance(node, ast.Dict) else ()


def _field(field: ast.AnnAssign, prefix: str, *, is_exact: bool) -> tuple[str, str, bool]:
    """Return a field's variable, its default as text, and whether it is required."""
    assert isinstance(field.target, ast.Name)
    name, value = prefix + field.target.id, field.value
    name = name if is_exact else name.upper()
    if isinstance(value, ast.Call) and last(value.func) == "Field":
        words = {word.arg: word.value for word in value.keywords}
        alias = next((_alias(words[key]) for key in ("validation_alias", "alias", "env") if key in words), "")
        given = words.get("default") or next(iter(value.args), None)
        value = given if not (isinstance(given, ast.Constant) and given.value is ...) else None
        name = alias or name
        if "default_factory" in words:
            return name, "", False
    first = value.elts[0] if isinstance(value, ast.List | ast.Tuple) and value.elts else value
    default = str(first.value) if isinstance(first, ast.Constant) and first.value is not None else ""
    return name, default, value is None


def _alias(node: ast.expr) -> str:
    """Return an alias, or the first of AliasChoices or of a list."""
    several = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.List | ast.Tuple) else []
    return text_of(several[0] if several else node)


def _is_set(line: list[ast.ClassDef], key: str) -> bool:
    """Return whether SettingsConfigDict or an inner class Config has `key` as True."""
    words = (node for one in line for node in ast.walk(one))
    pairs = ((n.arg, n.value) if isinstance(n, ast.keyword) else (_target(n), getattr(n, "value", n)) for n in words)
    return any(name == key and isinstance(value, ast.Constant) and value.value is True for name, value in pairs)


def _target(node: ast.AST) -> str:
    return last(node.targets[0]) if isinstance(node, ast.Assign) else ""


def _configured(line: list[ast.ClassDef], key: str) -> str:
    """Return a key of SettingsConfigDict or of an inner class Config, from the nearest class that sets it."""
    for one in line:
        for node in ast.walk(one):
            named = isinstance(node, ast.keyword) and node.arg == key
            assigned = isinstance(node, ast.Assign) and [last(target) for target in node.targets] == [key]
            if (named or assigned) and isinstance(node, ast.keyword | ast.Assign) and (found := text_of(node.value)):
                return found
    return ""
