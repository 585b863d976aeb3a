"""Fixed addresses of servers in tests, which no environment variable changes."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from testbay.init import addresses, dotenv, literals, mentions, runners, testing, variables
from testbay.init.addresses import OF_REDIS, FixedAddress
from testbay.init.clients import maker
from testbay.init.project import Project, Source
from testbay.init.settingsclasses import settings_classes
from testbay.init.syntax import entries, keywords, last, text_of
from testbay.manifest.testpaths import SECTIONS

CREATES = re.compile(r"(?i)create[ _]database|createdb\b|_create_db")
_OF_DATABASES = ("database", "dbname", "name")
_DEFAULTS = ("setdefault", "get", "getenv", "config", "env", "Field")


def insisted(project: Project, needs: Collection[str], *, defaults: bool = False) -> dict[str, FixedAddress]:
    """Find the local address of each of these servers in conftest.py, tests and configurations for tests.

    With `defaults`, addresses made of defaults of environment variables count as well, also those of settings files.
    """
    found: dict[str, FixedAddress] = {}
    shared = addresses.constants(project, defaults=defaults)
    of_tests = _of_tests(project, shared, defaults=defaults)
    of_files = addresses.of_settings(project) if defaults else ()
    of_settings = (*_of_classes(project, shared), *_of_django(project, shared))
    places = (*_of_pytest_env(project), *_of_dotenv(project), *of_tests, *of_settings, *of_files)
    for address in places:
        if address.need in needs and address.is_local:
            found.setdefault(address.need, address)
    return found


def renamed(project: Project) -> dict[str, FixedAddress]:
    """Find the tests' own database: `settings.DB_NAME = "test_shop"` in conftest.py, TEST_DATABASE_URL's example.

    A suite often refuses to run against a database whose name is not that of a test.
    """
    names = variables.of_databases(project)
    for source in project.sources if names else ():
        for target, value in source.assignments if source.is_conftest else ():
            if isinstance(target, ast.Attribute) and target.attr.upper() in names and (db := text_of(value)):
                found = FixedAddress(need="postgres", host="", port=0, where=source.at(target), db=db)
                return {"postgres": found}
    named = next(_of_variables(project), None)
    return {"postgres": replace(named, host="", port=0, user="", password="")} if named else {}


def _of_variables(project: Project) -> Iterator[FixedAddress]:
    """Yield the addresses of PostgreSQL that name a test's database: in variables for tests, or set for pytest.

    Variables for tests are TEST_DATABASE_URL with its example or default, those of the file .env.test, and names of a
    database with such a default.
    """
    said = {read.name: read.default for read, _ in variables.roles(project)}
    said |= {name: value for name, (value, _) in project.examples.items()}
    of_file = {value for value, file in project.examples.values() if file == ".env.test"}
    named = [value for name, value in said.items() if "TEST" in name.upper().split("_") or value in of_file]
    for value in (*named, *runners.values(project)):
        for address in addresses.of_text(value, "the variables of the tests"):
            if address.need == "postgres" and "test" in address.db.lower():
                yield address
    for read, role in variables.roles(project):
        if (role.need, role.kind) == ("postgres", "db") and "test" in read.default.lower():
            yield FixedAddress(need="postgres", host="", port=0, where=read.where, db=read.default)


def beside(project: Project, base: str, *, is_fixed: bool) -> str:
    """Return the database that tests have beside the program's: f"{…}/{name}_test", or {"database": f"{name}_test"}.

    Where the address `is_fixed`, also one that settings for tests name. `base` is the name of the program's own; empty
    if there is none, or if the tests create it themselves.
    """
    tests = [source for source in project.sources if source.is_test or source.path.stem.endswith("_test")]
    if not base or any(CREATES.search(source.text) for source in tests):
        return ""
    known = addresses.constants(project, defaults=False)
    for source in sorted(tests, key=lambda one: not one.is_conftest):
        names = _databases(source)
        for node in source.of(ast.JoinedStr, ast.BinOp):
            text = literals.text_of(node, known, defaults=False)
            db = (text if node in names else addresses.database_of(text)) if literals.UNKNOWN in text else ""
            if "test" in db.lower() and db.count(literals.UNKNOWN) < 2:
                return db.replace(literals.UNKNOWN, base)
    if not is_fixed or any(CREATES.search(source.text) for source in project.code):
        return ""
    return next((db for db in addresses.databases_of_tests(project) if db != base), "")


def _databases(source: Source) -> set[ast.AST]:
    """Collect what stands for a database's name: {"database": …} and connect(dbname=…)."""
    pairs = (pair for table in source.of(ast.Dict) for pair in entries(table))
    found: set[ast.AST] = {value for key, value in pairs if text_of(key).lower() in _OF_DATABASES}
    return found | {word.value for word in source.of(ast.keyword) if str(word.arg).lower() in _OF_DATABASES}


def _of_tests(project: Project, shared: Mapping[str, str], *, defaults: bool) -> Iterator[FixedAddress]:
    """Find the addresses in conftest.py, and in another test those that it connects to or sets for the program."""
    for source in sorted(project.tests, key=lambda one: not one.is_conftest):
        if source.tree is None:
            continue
        left_out = mentions.mentioned(source) | _replaceable(source)
        if not source.is_conftest:
            left_out |= set(source.nodes) - _used(source)
        yield from addresses.of_source(source, shared, left_out, defaults=defaults)


def _of_classes(project: Project, shared: Mapping[str, str]) -> Iterator[FixedAddress]:
    """Find the addresses in `class TestingConfig:`, if its fields are not variables themselves."""
    classes = settings_classes(project)
    for source in project.code:
        for_tests = [node for node in source.of(ast.ClassDef) if "test" in node.name.lower()]
        inside = {part for node in for_tests if not classes.is_settings(node) for part in ast.walk(node)}
        if inside:
            left_out = (set(source.nodes) - inside) | _replaceable(source)
            yield from addresses.of_source(source, shared, left_out, defaults=False)


def _of_django(project: Project, shared: Mapping[str, str]) -> Iterator[FixedAddress]:
    """Find the addresses in the settings of Django's tests, in names that the module sets once and never changes."""
    path = testing.settings_of_django(project)
    files = (path.with_suffix(".py"), path / "__init__.py") if path else ()
    for source in (one for one in project.sources if one.path in files):
        final = [value for target, value in source.assignments if source.text.count(last(target)) == 1]
        left_out = set(source.nodes).difference(*map(ast.walk, final)) | _replaceable(source)
        yield from addresses.of_source(source, shared, left_out, defaults=False)


def _of_pytest_env(project: Project) -> Iterator[FixedAddress]:
    """Find the addresses that pytest-env sets; its `D:` leaves a variable that is set as it is."""
    if not project.has("pytest-env"):
        return
    said = project.table("tool", "pytest", "ini_options").get("env")
    lists = [("pyproject.toml", said if isinstance(said, list) else str(said or "").splitlines())]
    lists += [("pyproject.toml", [f"{k}={v}" for k, v in project.table("tool", "pytest_env").items()])]
    for file, section in SECTIONS.items():
        lists.append((file, project.ini(file).get(section, "env", fallback="").splitlines()))
    for file, lines in lists:
        for name, _, value in (str(line).strip().partition("=") for line in lines):
            if "D:" not in name:
                yield from addresses.of_text(value.strip(), f"{file}: env")


def _of_dotenv(project: Project) -> Iterator[FixedAddress]:
    """Find the addresses in the files that conftest.py, pytest-dotenv or the program puts above the environment."""
    files = (*_loaded_by_conftest(project), *_loaded_by_pytest_dotenv(project), *dotenv.files(project))
    for name in (file.rpartition("/")[2] for file in files if re.search(r"(^|/)\.env[\w.-]*$", file)):
        lines = (line.removeprefix("export ").partition("=") for line in project.text(name).splitlines())
        said = {variable.strip().upper(): value.strip(" \"'") for variable, _, value in lines}
        for value in said.values():
            yield from addresses.of_text(value, name)
        for need, parts in variables.parts(project, said).items():
            yield from addresses.of_parts(need, parts, name) if "host" in parts else ()


def _loaded_by_conftest(project: Project) -> Iterator[str]:
    """Yield the texts in a conftest.py that calls `load_dotenv(…, override=True)`: one of them names the file."""
    for source in (source for source in project.sources if source.is_conftest):
        loads = [keywords(call).get("override") for call in source.of(ast.Call) if last(call.func) == "load_dotenv"]
        if any(isinstance(override, ast.Constant) and override.value for override in loads):
            yield from map(text_of, source.of(ast.Constant))


def _loaded_by_pytest_dotenv(project: Project) -> Iterator[str]:
    sections = [dict(project.ini(file)[name]) for file, name in SECTIONS.items() if project.ini(file).has_section(name)]
    for settings in (project.table("tool", "pytest", "ini_options"), *sections):
        if str(settings.get("env_override_existing_values", "")).lower() in ("1", "true"):
            said = settings.get("env_files", "")
            yield from said if isinstance(said, list) else str(said).split()


def elsewhere(project: Project, ports: Collection[int]) -> dict[int, str]:
    """Map these ports of this machine to the first place in the sources that names one, whatever the environment."""
    found: dict[int, str] = {}
    shared = addresses.constants(project, defaults=False)
    for source in [*project.tests, *project.code] if ports else ():
        left_out = _replaceable(source) | (mentions.mentioned(source) if source.is_test else set())
        for one in addresses.of_source(source, shared, left_out, defaults=False):
            if one.is_local and one.port in ports:
                found.setdefault(one.port, one.where)
    return found


def _replaceable(source: Source) -> set[ast.AST]:
    """Collect the parts that the environment replaces: defaults of variables, alternatives behind `or` and `if`."""
    defaults = [call for call in source.of(ast.Call) if last(call.func) in _DEFAULTS]
    return {part for node in (*defaults, *source.of(ast.BoolOp), *source.of(ast.IfExp)) for part in ast.walk(node)}


def _used(source: Source) -> set[ast.AST]:
    """Collect what a test gives to a client or sets in the environment, also by the name of a constant."""
    origins, given = source.origins, ("setenv", *OF_REDIS)
    connects = [call for call in source.of(ast.Call) if maker(call, origins) or last(call.func) in given]
    sets = [node for node in source.of(ast.Assign) if "environ[" in ast.unparse(node.targets[0])]
    found = {part for node in (*connects, *sets) for part in ast.walk(node)}
    names = {node.id for node in found if isinstance(node, ast.Name)}
    held = (node.value for node in source.of(ast.Assign) if names & set(map(last, node.targets)))
    return found.union(*map(ast.walk, held))
