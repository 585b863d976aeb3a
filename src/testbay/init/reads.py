"""The environment variables that a program reads, with their defaults, from the syntax trees of its sources."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

from testbay.init import addresses, clients, frameworks, literals, settingsfiles
from testbay.init.project import ASIDE, Project, Source, once
from testbay.init.settingsclasses import SettingsClasses, settings_classes
from testbay.init.syntax import calls, keywords, last, owner, text_of
from testbay.init.variable import MODULE, SERVERS, Read, sample_of

_SERVER = re.compile(r"((db|sqla)\+)?(postgres|postgresql|postgis|psql|pgsql|redis|valkey|nats)(\+\w+)?://")
_WORDS = ("environ", "getenv", "env", "config", "Settings", "GoodConf")  # one stands in a module that reads variables
_PREFIXES = {"Config": "env_prefix", "Env": "prefix"}  # of Starlette, of environs
_OF_OS = ("getenv", "get", "setdefault")
_OF_PACKAGES = (  # django-environ, environs, decouple
    *("env", "config", "str", "int", "float", "bool", "list", "json", "url", "path"),
    *("db", "db_url", "cache", "cache_url", "search_url", "email_url", "dj_db_url", "dj_cache_url", "dj_email_url"),
    *("decimal", "uuid", "datetime", "timedelta", "log_level", "dict"),
)
_CASTS = ("int", "float", "bool", "Decimal", "UUID", "Path", "timedelta")
_DEPLOYED = ("production", "prod", "staging")  # settings/production.py, which no test loads
_BESIDE = ("test", "tests", "testing", "local", "dev", "development", "base", "common")
_BY_THEMSELVES = {"db": "DATABASE_URL", "db_url": "DATABASE_URL", "cache": "CACHE_URL", "cache_url": "CACHE_URL"}


@once
def reads(project: Project) -> list[Read]:
    """List the variables, each once; a read with a default comes before one without."""
    found: dict[str, Read] = {}
    for read in frameworks.of_dynaconf(project):
        found.setdefault(read.name, read)
    for read in _of_sources(project):
        known = found.get(read.name)
        if known is None or (read.default and not known.default):
            found[read.name] = read
    elsewhere = (
        *(frameworks.of_apps, frameworks.of_configurations, frameworks.of_environ_config),
        *(settingsfiles.reads, _of_examples),
    )
    for read in chain.from_iterable(find(project) for find in elsewhere):
        found.setdefault(read.name, read)
    made, beside, own, turned = clients.taken(project), _ports(found.values()), _own(project), _turned(found)
    return [
        replace(
            read,
            client=read.client or _client(read, made),
            beside=beside.get(_beginning(read), ""),
            short=read.short or turned.get(read.name) or read.name.removeprefix(own),
        )
        for read in found.values()
    ]


def _of_sources(project: Project) -> Iterator[Read]:
    """Yield the reads in the program's modules, then those in its tests and in Alembic's env.py."""
    classes = settings_classes(project)
    helpers = dict(pair for source in project.code for pair in _helpers(source))
    called, begin = _called_at_import(project), _prefix_of_reader(project)
    besides = [s for s in project.sources if s.path.parts[-2:] == ("migrations", "env.py") or s.is_test]
    besides.sort(key=lambda source: not source.is_conftest)
    for source in [*project.code, *besides]:
        # A test may set what it tries; the program imports no script for CI, and no test the settings of a deployment.
        tries = source.path.parts[0] in ASIDE or (source.is_test and not source.is_conftest)
        speaks = any(word in source.text for word in (*_WORDS, *helpers))
        for read in _Module(source, helpers, called, begin).reads(classes) if speaks else ():
            yield replace(read, required=False) if tries or _is_of_deployment(project, source) else read


def _prefix_of_reader(project: Project) -> str:
    """Return what `config = Config(env_prefix="SHOP_")` or `Env(prefix="SHOP_")` puts before each name, or nothing.

    Nothing, too, where readers differ in it: which one is meant, only its calls tell.
    """
    said = set()
    for source in project.code:
        is_of_reader = bool({"starlette", "environs", "environ"} & {*source.imports})
        for call in (one for one in source.of(ast.Call) if last(one.func) in _PREFIXES):
            prefix = keywords(call).get(_PREFIXES[last(call.func)])
            if prefix or is_of_reader:
                said.add(text_of(prefix) if prefix else "")
    return said.pop() if len(said) == 1 else ""


def _own(project: Project) -> str:
    """The project's own prefix, RQ_DASHBOARD_, whose words say nothing of a server, as long as its last names none."""
    words = re.sub(r"\W", "_", project.name[0]).upper().split("_")
    return "_".join([*words, ""]) if len(words) > 1 and words[-1] not in SERVERS else ""


def _turned(found: Collection[str]) -> dict[str, str]:
    """Map variables such as HOST_DB, PORT_DB and NAME_DB to the usual order of their words."""
    ends = {name.removeprefix("HOST_") for name in found if name.startswith("HOST_")}
    parts = ((name, *name.partition("_")[::2]) for name in found)
    return {name: f"{end}_{begin}" for name, begin, end in parts if end in ends}


def _ports(found: Iterable[Read]) -> dict[str, str]:
    """Map how the names of a server's variables begin to the server, by the usual port that one of them defaults to."""
    usual = {str(port): need for need, port in addresses.PORTS.items()}
    ports = {_beginning(read): usual.get(read.default, "") for read in found if read.name.upper().endswith("_PORT")}
    return {beginning: need for beginning, need in ports.items() if need}


def _beginning(read: Read) -> str:
    return read.name.rpartition("_")[0]


def _is_of_deployment(project: Project, source: Source) -> bool:
    """Return whether a module has the settings of a deployment, beside those for tests or for development."""
    folder = project.root / source.path.parent
    return source.path.stem in _DEPLOYED and any((folder / f"{name}.py").is_file() for name in _BESIDE)


def _of_examples(project: Project) -> Iterator[Read]:
    for name, (value, file) in project.examples.items():
        if _SERVER.match(value):
            yield Read(name=name, default="", required=False, where=file)


def _client(read: Read, made: Mapping[str, str]) -> str:
    """Name the server whose client takes the variable, by its name or by the name its value is assigned to."""
    here = f"{read.where.rpartition(':')[0]}:{read.target}".lower()
    return made.get(read.name.lower()) or made.get(here) or made.get(read.target.lower(), "")


def _helpers(source: Source) -> Iterator[tuple[str, bool]]:
    """Yield the functions that read the variable which their first argument names; true if they may raise."""
    is_read = "environ" in source.text or "getenv" in source.text
    named = {_asked(node) for node in source.of(ast.Call, ast.Subscript)} if is_read else set()
    for function in (one for one in source.of(ast.FunctionDef) if one.args.args and one.name not in _OF_OS):
        asked = function.args.args[0].arg
        if asked in named:
            inside = list(ast.walk(function))
            reading = [node for node in inside if _asked(node) == asked]
            raises = any(isinstance(node, ast.Raise) for node in inside)
            yield from ((function.name, raises or isinstance(node, ast.Subscript)) for node in reading[:1])


def _asked(node: ast.AST) -> str:
    """Name what holds the variable's name, in `os.getenv(key)` and `os.environ[key]`."""
    match node:
        case ast.Call(args=[name, *_]) if _is_of_os(node):
            return last(name)
        case ast.Subscript() if last(node.value) == "environ":
            return last(node.slice)
    return ""


def _is_of_os(call: ast.Call) -> bool:
    name, holder = last(call.func), owner(call)
    return name in _OF_OS and holder in ("environ", "os", "") and bool(holder or name == "getenv")


def _called_at_import(project: Project) -> set[str]:
    """Name the project's functions that run when its modules are imported: `config = load_config()`, and what it calls.

    A method counts by its name alone.
    """
    functions: dict[str, list[ast.stmt]] = {}
    reached: list[ast.stmt] = []
    for source in project.code + project.tests:
        for name, body in _callable(source):
            functions.setdefault(name, []).extend(_at_import(body))
        if source.tree and source.path.parts[0] not in ASIDE:
            reached += _at_import(source.tree.body)
    called: set[str] = set()
    for statement in reached:
        named = {last(call.func) for call in calls(ast.walk(statement))}
        new = {name for name in named if name in functions and name not in called}
        called |= new
        reached += [inner for name in new for inner in functions[name]]
    return called


def _callable(source: Source) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield the functions, each with its body, and the classes with that of `__init__`."""
    yield from ((function.name, function.body) for function in source.of(ast.FunctionDef))
    for node in source.of(ast.ClassDef):
        methods = (one for one in node.body if isinstance(one, ast.FunctionDef))
        yield from ((node.name, one.body) for one in methods if one.name == "__init__")


class _Module:
    """A module's reads of variables. `helpers`, `called` and the prefix `begin` of the reader are the project's."""

    def __init__(self, source: Source, helpers: Mapping[str, bool], called: Collection[str], begin: str) -> None:
        self._source = source
        self._helpers = helpers
        self._readers = {*helpers, *(["config.get"] if {"decouple", "starlette"} & set(source.imports) else [])}
        body = source.tree.body if source.tree else []
        bodies = [body, *(inner for name, inner in _callable(source) if name in called)]
        run = [statement for one in bodies for statement in _at_import(one)]
        self._at_import = {node for statement in run for node in ast.walk(statement)}
        self._declared = _declared(source)
        readers = (call for call in source.of(ast.Call) if (owner(call) or last(call.func)) in ("config", "env"))
        of_environs = _prefixed(source.tree, begin) if source.tree and "prefixed" in source.text else ()
        self._prefixes: dict[ast.AST, str] = {**dict.fromkeys(readers, begin), **dict(of_environs)}
        self._targets = clients.assigned(source)
        self._wanted = _wanted(source)
        self._ors = {node.values[0]: text_of(node.values[1]) for node in source.of(ast.BoolOp)}
        self._known = dict(literals.constants(source))

    def reads(self, classes: SettingsClasses) -> Iterator[Read]:
        """Yield the variables, those of settings classes included."""
        for node in self._source.of(ast.ClassDef, ast.Call, ast.Subscript):
            if isinstance(node, ast.ClassDef) and classes.is_settings(node):
                yield from classes.fields(node, self._source)
            elif isinstance(node, ast.Call) and (name := _name_read(node, self._readers, self._known)):
                yield self._by_call(node, self._read(node, name))
            elif isinstance(node, ast.Subscript) and (name := self._subscript(node)):
                yield self._read(node, name)

    def _subscript(self, node: ast.Subscript) -> str:
        """Name the variable that a subscript of os.environ reads; empty where it sets one."""
        is_read = isinstance(node.ctx, ast.Load) and last(node.value) == "environ"
        return _named(node.slice, self._known) if is_read else ""

    def _read(self, node: ast.AST, name: str) -> Read:
        return Read(
            name=name,
            default="",
            required=node in self._at_import,
            where=self._source.at(node),
            target=self._targets.get(node, ""),
            sample=self._wanted.get(node, "test"),
        )

    def _by_call(self, call: ast.Call, read: Read) -> Read:
        """Complete a read by a call, which may have a default, a cast and a prefix."""
        name = self._prefixes.get(call, "") + read.name
        raises = self._helpers.get(last(call.func), True) and _raises(call)
        required = read.required and name not in self._declared and raises
        default = _default(call) or self._ors.get(call, "")
        sample = self._wanted.get(call) or self._wanted.get(read.target, "")
        if sample == MODULE or (sample and read.required):  # None, which os.getenv gives, would not do
            required = required or not (default or _is_computed(call))
        return replace(read, name=name, default=default, required=required, sample=_sample(call, sample))


def _wanted(source: Source) -> dict[ast.AST | str, str]:
    """Map what must not be None, as a node or by its name, to a value that does: in `int(os.getenv("SIZE"))` a number.

    MODULE for what names the module or class that the program loads its settings from.
    """
    found: dict[ast.AST | str, str] = {node.value: "test" for node in source.of(ast.Attribute)}
    for call in source.of(ast.Call):
        kind = last(call.func)
        for argument in call.args[:1] if kind in _CASTS else ():
            found[argument] = sample_of(kind)
        for argument in call.args[:1] if kind in ("from_object", "import_string", "import_module") else ():
            found[argument] = found[last(argument)] = MODULE
    return found


def _named(node: ast.expr, known: Mapping[str, str]) -> str:
    """Evaluate the name of a variable, such as PREFIX + "DB_HOST"; empty if a part is not known."""
    text = literals.text_of(node, known, defaults=False)
    return text if text.isidentifier() else ""


def _sample(call: ast.Call, wanted: str) -> str:
    cast = keywords(call).get("cast")
    if wanted and not cast:
        return wanted
    kind = ast.unparse(cast) if cast else last(call.func)
    return "" if last(call.func) == "list" else sample_of(kind)  # a list is split at commas


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run at import, without those below `if` and in functions."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _at_import(statement.body)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            yield statement


def _name_read(call: ast.Call, helpers: Collection[str], known: Mapping[str, str]) -> str:
    """Name the variable that a call of os.getenv, environ.get, env (environs, django-environ) or config reads.

    Or that one of the program's own `helpers` reads, or an option of Click or Typer.
    """
    name = last(call.func)
    holder = owner(call)
    if "envvar" in keywords(call):
        return text_of(keywords(call)["envvar"])
    if name == "config" and holder == "dj_database_url":
        return text_of(keywords(call).get("env", ast.Constant("DATABASE_URL")))
    if holder == "env" and name in _BY_THEMSELVES and not call.args:
        return _BY_THEMSELVES[name]
    of_packages = name in _OF_PACKAGES and (holder == "env" or (not holder and name in ("env", "config")))
    is_read = call.args and (_is_of_os(call) or of_packages or {name, f"{holder}.{name}"} & {*helpers})
    asked = _named(call.args[0], known) if is_read else ""
    # Lower case is for settings, as `config("debug")`; os.getenv("db_host") knows nothing else.
    is_variable = asked.isupper() or (_is_of_os(call) and holder in ("os", "environ"))
    return asked if is_variable else ""


def _prefixed(node: ast.AST, prefix: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the calls below `with env.prefixed("SHOP_"):` of environs, each with the prefix."""
    if isinstance(node, ast.With):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and last(call.func) == "prefixed" and call.args:
                prefix += text_of(call.args[0])
    elif isinstance(node, ast.Call) and prefix:
        yield node, prefix
    for child in ast.iter_child_nodes(node):
        yield from _prefixed(child, prefix)


def _raises(call: ast.Call) -> bool:
    """Return whether the call fails when the variable is missing: os.getenv and options do not, packages' calls do."""
    has_default = len(call.args) > 1 or "default" in keywords(call)
    return last(call.func) not in _OF_OS and not has_default and "envvar" not in keywords(call)


def _declared(source: Source) -> set[str]:
    """Return the variables that `environ.Env(DEBUG=(bool, False))` gives a default."""
    makers = (call for call in source.of(ast.Call) if last(call.func) in ("Env", "FileAwareEnv"))
    return {name for call in makers for name, value in keywords(call).items() if isinstance(value, ast.Tuple)}


def _default_of(call: ast.Call) -> ast.expr | None:
    named = keywords(call)
    of_typer = call.args[:1] if last(call.func) in ("Option", "Argument") else []  # click's have the names there
    positional = of_typer if "envvar" in named else call.args[1:2]
    return named.get("default") or next(iter(positional), None)


def _is_computed(call: ast.Call) -> bool:
    """Return whether the call has a default whose value is not known here, such as `7 * DAY`.

    Another variable, `getenv("TTL", getenv("OLD_TTL"))`, is as good as its own default.
    """
    default = _default_of(call)
    if isinstance(default, ast.Call) and _is_of_os(default):
        return bool(_default(default)) or _is_computed(default)
    return not isinstance(default or ast.Constant(None), ast.Constant)


def _default(call: ast.Call) -> str:
    default = _default_of(call)
    return str(default.value) if isinstance(default, ast.Constant) and default.value is not None else ""
