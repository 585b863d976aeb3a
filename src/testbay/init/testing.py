"""The tests of a project, and the settings that they need."""

import ast
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from testbay.init.project import Finding, Project, Source
from testbay.init.pythonpath import python_path
from testbay.init.syntax import last, text_of
from testbay.init.testfiles import SHOWN, collected, named_otherwise, option, outside, settings_of_tools
from testbay.manifest.testpaths import folders_of_tests

_FOLDERS = ("tests/integration", "tests", "test", "src/tests")
_SETS = re.compile(r"(?m)^(from\s+\S+\s+import\s+\*|[A-Z][A-Z_]+\s*=)")
_STARTERS = ("testcontainers", "pytest_docker", "docker")
_PROGRAMS = {"nats-server": "nats", "redis-server": "dragonfly", "valkey-server": "dragonfly", "pg_ctl": "postgres"}
_CALLS = re.compile(r"\bsubprocess\b|\b\w*(?:Popen|Process|Executor)\(|\bos\.(?:system|popen)\b|create_subprocess_")
_CONTAINERS = re.compile(r"(?:sudo )?((?:docker|podman)(?:-compose| compose| run| start))\b")
_OWN = (
    *("pytest-postgresql", "pytest-redis", "pytest-pgsql", "pytest-databases", "pytest-mock-resources"),
    *("pytest-docker", "pytest-docker-compose", "pytest-docker-tools", "lovely-pytest-docker"),
)
_WITH_NOPROC = ("pytest-postgresql", "pytest-redis")
_VARIABLES = {"postgres": "DATABASE_URL", "dragonfly": "REDIS_URL", "nats": "NATS_URL"}
FIRST_TEST = "tests/test_servers.py"
_TESTS = {
    "postgres": '''def test_a_database_of_its_own(postgres):
    """Migrated, and as new for every test."""
    postgres.execute("CREATE TABLE teas (name text)")

    assert postgres.execute("SELECT count(*) FROM teas").fetchone() == (0,)
''',
    "dragonfly": '''def test_keys_of_its_own(dragonfly):
    """Empty for every test."""
    assert dragonfly.keys() == []
''',
    "nats": '''def test_an_account_of_its_own(nats):
    """With JetStream, and no stream but the manifest's."""

    async def ask():
        async with nats.connect() as client:
            return await client.jetstream().account_info()

    assert asyncio.run(ask()).limits is not None
''',
}


def tests(project: Project) -> Finding | None:
    """Find the folder of the tests: from pytest's settings, else a usual one; None without a test."""
    return _testpaths(project) or _usual_folder(project) or _common_folder(project)


def _testpaths(project: Project) -> Finding | None:
    name, paths = folders_of_tests(project.root)
    folders = [path for path in paths if (project.root / path).is_dir()]
    return _folder(os.path.commonpath(folders) or ".", f"{name}: testpaths") if folders else None


def _usual_folder(project: Project) -> Finding | None:
    paths = collected(project)
    # `tests/integration` is one kind of several, unless tests lie beside it: then they are meant, too.
    for folder in _FOLDERS[any(path.parent == Path("tests") for path in paths) :]:
        if any(path.is_relative_to(folder) for path in paths):
            if folder == _FOLDERS[0]:
                beside = [path for path in paths if path.is_relative_to("tests") and not path.is_relative_to(folder)]
                return _folder(folder, f'{folder}/; "tests" runs {beside[0]}, too' if beside else f"{folder}/")
            others = outside(project, folder)
            return _folder(".", f"{folder}/ and {others[0]}") if others else _folder(folder, f"{folder}/")
    return None


def _common_folder(project: Project) -> Finding | None:
    """Find the folder of tests beside the program; for Django's that of manage.py, where pytest-django looks for it."""
    paths = [*collected(project), *(one.path for one in project.sources if one.path.name == "tests.py")]
    paths = sorted(path for path in paths if not SHOWN & set(path.parts)) or paths or named_otherwise(project)
    program = Path(project.manage).parent
    paths = [path for path in paths if path.is_relative_to(program)] or paths
    if not paths:
        return None
    common = Path(os.path.commonpath([path.parent for path in paths]))
    is_apart = not common.is_relative_to(program) if project.manage else common.name in ("tests", "test")
    folder = common if is_apart else program  # else another app may get tests of its own
    return _folder(folder.as_posix(), str(paths[0]))


def _folder(name: str, source: str) -> Finding:
    return Finding(key="tests", value=f'"{name}"', source=source)


def variables(project: Project, folder: str) -> list[Finding]:
    """List the variables by which pytest finds Django's settings, its program and the tests in `folder`."""
    settings = django_settings(project) if project.manage else None
    is_known = folder and (settings or not project.manage)
    found = (settings, python_path(project, folder) if is_known else None, option(project))
    return [line for line in found if line]


def django_settings(project: Project) -> Finding | None:
    """Make the variable DJANGO_SETTINGS_MODULE if only manage.py sets it."""
    match = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", project.text(project.manage))
    if match is None or "DJANGO_SETTINGS_MODULE" in settings_of_tools(project):
        return None
    package = match[1].rpartition(".")[0]
    for name in ("test", "tests", "testing", "ci"):  # beside the one for development, in a package of settings
        file = Path(project.manage).parent.joinpath(*package.split("."), f"{name}.py")
        if package and _SETS.search(project.text(str(file))):  # and no test
            return Finding(key="DJANGO_SETTINGS_MODULE", value=f'"{package}.{name}"', source=str(file))
    return Finding(key="DJANGO_SETTINGS_MODULE", value=f'"{match[1]}"', source=project.manage)


def settings_of_django(project: Project) -> Path | None:
    """Return the module with the settings that Django's tests have, as a path; None where nothing names one."""
    texts = [settings_of_tools(project), *(source.text for source in project.sources if source.is_conftest)]
    named = next(filter(None, (re.search(r"DJANGO_SETTINGS_MODULE\W+([\w.]+)", text) for text in texts)), None)
    found = None if named else django_settings(project)
    module = named[1] if named else found.value.strip('"') if found else ""
    return Path(project.manage).parent.joinpath(*module.split(".")) if module else None


def demanded(project: Project) -> dict[str, Finding]:
    """Find the variables that conftest.py compares with one value, and ends pytest where they have another."""
    found: dict[str, Finding] = {}
    for source in (source for source in project.sources if source.is_conftest):
        for comparison in filter(None, map(_demand, source.nodes)):
            read, value = comparison.left, text_of(comparison.comparators[0])
            name = text_of(read.args[0] if isinstance(read, ast.Call) and read.args else getattr(read, "slice", read))
            if re.search(r"\b(environ|getenv)\b", ast.unparse(read)) and name and re.fullmatch(r"\w+", value):
                where = f"{source.at(comparison)} ends without it"
                found.setdefault(name, Finding(key=name, value=f'"{value}"', source=where))
    return found


def _demand(node: ast.AST) -> ast.Compare | None:
    """Return the comparison of `assert a == b`, or of `if a != b:` that ends pytest."""
    operator: type[ast.cmpop] = ast.Eq
    if isinstance(node, ast.If) and any(map(_ends, node.body)):
        operator = ast.NotEq
    elif not isinstance(node, ast.Assert):
        return None
    return node.test if isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], operator) else None


def _ends(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(node, ast.Raise) or (isinstance(call, ast.Call) and last(call.func) in ("exit", "_exit"))


def own_servers(project: Project, needs: Collection[str], led: Collection[str]) -> list[str]:
    """Describe tests that start servers themselves instead of using testbay's; `led` files are given an address."""
    names = " and ".join(_VARIABLES[need] for need in needs if need in _VARIABLES) or "DATABASE_URL"
    starts = _starts(project, needs, led)
    return [f"a way past {own}; a fixture that gives {names} instead needs none" for own in starts]


def _starts(project: Project, needs: Collection[str], led: Collection[str]) -> Iterator[str]:
    """Yield what starts servers: imports of tests, programs that they call, and plug-ins of pytest."""
    tests = [source for source in project.tests if str(source.path) not in led]
    for source in tests:
        if name := next((name for name in source.imports if name in _STARTERS), ""):
            yield f"{source.path}: it starts containers of its own ({name})"
        elif place := _calls_docker(source):
            yield place
    yield from (f"{where} of its own" for need, where in started(project).items() if need in needs)
    noproc = any(re.search(r"\b\w+_noproc\b", source.text) for source in tests)  # of pytest-postgresql: it starts none
    for name in (name for name in _OWN if project.has(name) and not (noproc and name in _WITH_NOPROC)):
        yield f"{project.packages[name]}: {name} starts a server of its own"


def _calls_docker(source: Source) -> str:
    """Describe the place where a source calls Docker's program to start containers; empty if it does not."""
    for node in source.of(ast.Constant, ast.JoinedStr, ast.List, ast.Tuple) if _CALLS.search(source.text) else ():
        parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        if match := _CONTAINERS.match(" ".join(map(text_of, parts))):
            return f"{source.at(node)}: it starts containers of its own ({match[1]})"
    return ""


def started(project: Project) -> dict[str, str]:
    """Map the servers whose program the tests start themselves to the place: there it takes a port of its own."""
    found: dict[str, str] = {}
    for source in project.tests:
        if _CALLS.search(source.text):
            for node in source.of(ast.Constant):
                if need := _PROGRAMS.get(program := Path(text_of(node)).name):
                    found.setdefault(need, f"{source.at(node)}: it starts {program}")
    return found


def first_test(needs: list[str]) -> str:
    """Compose a file with a test for each server, for a project without tests."""
    head = ['"""Real servers, for each test as new: the first tests, to be replaced by yours."""', ""]
    head += ["import asyncio", ""] if "nats" in needs else []
    return "\n".join([*head, "\n" + "\n\n".join(_TESTS[need] for need in needs)])
