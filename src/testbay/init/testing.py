"""The tests of a project, and the settings that they need."""

import ast
import os
import re
from collections.abc import Collection
from pathlib import Path

from testbay.init.project import Finding, Project
from testbay.init.variable import last, text_of
from testbay.manifest.testpaths import folders_of_tests

_FOLDERS = ("tests/integration", "tests", "test", "src/tests")
_SHOWN = {"examples", "example", "docs"}  # a library's own tests come before those of what it shows
_DJANGO_FILES = "tests.py test_*.py *_tests.py"
_OVERRIDES = re.compile(r"\w*(?:load_dotenv|read_env)\([^()]*(?:override|overwrite)\s*=\s*True[^()]*\)")
_SETS = re.compile(r"(?m)^(from\s+\S+\s+import\s+\*|[A-Z][A-Z_]+\s*=)")
_STARTERS = {"testcontainers": "containers", "pytest_docker": "containers", "docker": "containers"}
_OWN = (
    *("pytest-postgresql", "pytest-redis", "pytest-pgsql", "pytest-databases", "pytest-mock-resources"),
    *("pytest-docker", "pytest-docker-compose", "pytest-docker-tools", "lovely-pytest-docker"),
)
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
    name, paths = folders_of_tests(project.root)
    if found := [path for path in paths if (project.root / path).is_dir()]:
        whole = os.path.commonpath(found) or "."
        return Finding(key="tests", value=f'"{whole}"', source=f"{name}: testpaths")
    named = [path for path in (one.path for one in project.sources) if re.match(r"test_.*|.*_test\.py$", path.name)]
    # `tests/integration` is one kind of several, unless tests lie beside it: then they are meant, too.
    for folder in _FOLDERS[any(path.parent == Path("tests") for path in named) :]:
        if any(path.is_relative_to(folder) for path in named):
            return Finding(key="tests", value=f'"{folder}"', source=f"{folder}/")
    apart = [source for source in project.sources if re.match(r"tests\.py$|test_", source.path.name)]
    apart = [source for source in apart if not _SHOWN & set(source.path.parts)] or apart
    folder = Path(project.manage).parent.as_posix()  # there pytest-django looks for Django's project
    within = [source for source in apart if source.path.is_relative_to(folder)]
    inside = within or apart
    whole = (os.path.commonpath([source.path.parent.as_posix() for source in inside]) or ".") if inside else ""
    own = not within or (not project.manage and Path(whole).name in ("tests", "test"))
    folder = whole if own else folder  # else another app may get tests of its own
    return Finding(key="tests", value=f'"{folder}"', source=str(inside[0].path)) if inside else None


def django_settings(project: Project) -> Finding | None:
    """Make the variable DJANGO_SETTINGS_MODULE if only manage.py sets it."""
    said = str(project.pyproject.get("tool")) + "".join(map(project.text, ("pytest.ini", "setup.cfg", "tox.ini")))
    match = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", project.text(project.manage))
    if not project.manage or match is None or "DJANGO_SETTINGS_MODULE" in said:
        return None
    package = match[1].rpartition(".")[0]
    for name in ("test", "tests", "testing", "ci"):  # beside the one for development, in a package of settings
        file = Path(project.manage).parent.joinpath(*package.split("."), f"{name}.py")
        if package and _SETS.search(project.text(str(file))):  # and no test
            return Finding(key="DJANGO_SETTINGS_MODULE", value=f'"{package}.{name}"', source=str(file))
    return Finding(key="DJANGO_SETTINGS_MODULE", value=f'"{match[1]}"', source=project.manage)


def django_path(project: Project, folder: str) -> Finding | None:
    """Put the folder of manage.py on Python's path: pytest-django looks for it only from the tests upwards."""
    program, said = Path(project.manage).parent, project.table("tool", "pytest")
    if Path(folder).is_relative_to(program) or "pythonpath" in f"{said} {project.text('pytest.ini')}":
        return None
    return Finding(key="PYTHONPATH", value=f'"{program}"', source=project.manage)


def django_files(project: Project) -> Finding | None:
    """Make the option of pytest that collects tests.py, as Django's own runner does."""
    files = [path for path in (one.path for one in project.sources) if path.name == "tests.py"]
    files = [path for path in files if not _SHOWN & set(path.parts)]
    said = str(project.table("tool", "pytest")) + "".join(map(project.text, ("pytest.ini", "setup.cfg", "tox.ini")))
    if not files or not project.manage or "python_files" in said:
        return None
    return Finding(key="PYTEST_ADDOPTS", value=f"\"-o 'python_files={_DJANGO_FILES}'\"", source=str(files[0]))


def demanded(project: Project) -> dict[str, Finding]:
    """Find the variables that conftest.py compares with one value, and ends pytest where they have another."""
    found: dict[str, Finding] = {}
    for source in (one for one in project.sources if one.path.name == "conftest.py"):
        for node in source.nodes:
            ends = isinstance(node, ast.If) and any(map(_ends, node.body))
            asked = node.test if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and ends) else None
            if not isinstance(asked, ast.Compare) or not isinstance(asked.ops[0], ast.NotEq if ends else ast.Eq):
                continue
            read, value = asked.left, text_of(asked.comparators[0])
            name = read.args[0] if isinstance(read, ast.Call) and read.args else getattr(read, "slice", read)
            if re.search(r"\b(environ|getenv)\b", ast.unparse(read)) and text_of(name) and re.fullmatch(r"\w+", value):
                where = f"{source.path}:{asked.lineno} ends without it"
                found.setdefault(text_of(name), Finding(key=text_of(name), value=f'"{value}"', source=where))
    return found


def _ends(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(node, ast.Raise) or (isinstance(call, ast.Call) and last(call.func) in ("exit", "_exit"))


def overruled(project: Project) -> list[str]:
    """Describe calls by which a .env file overrides the environment, and so testbay's values."""
    found = ((source, _OVERRIDES.search(source.text)) for source in project.code if (project.root / ".env").is_file())
    return [
        f"a way past .env: {source.path} calls {match[0]}, which puts .env above testbay's values"
        for source, match in found
        if match
    ]


def own_servers(project: Project, needs: Collection[str], led: Collection[str]) -> list[str]:
    """Describe tests that start servers themselves instead of using testbay's; `led` files are given an address."""
    tests = [source for source in project.sources if source.is_test and str(source.path) not in led]
    found = [(source, next(filter(_STARTERS.get, source.imports), "")) for source in tests]
    named = [f"{source.path}: it starts {_STARTERS[name]} of its own ({name})" for source, name in found if name]
    by_package = [f"{project.packages[name]}: {name} starts a server of its own" for name in _OWN if project.has(name)]
    names = " and ".join(_VARIABLES[need] for need in needs if need in _VARIABLES) or "DATABASE_URL"
    return [f"a way past {said}; a fixture that gives {names} instead needs none" for said in (*named, *by_package)]


def first_test(needs: list[str]) -> str:
    """Compose a file with a test for each server, for a project without tests."""
    head = ['"""Real servers, for each test as new: the first tests, to be replaced by yours."""', ""]
    head += ["import asyncio", ""] if "nats" in needs else []
    return "\n".join([*head, "\n" + "\n\n".join(_TESTS[need] for need in needs)])
