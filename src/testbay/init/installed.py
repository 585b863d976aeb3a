"""Whether the Python that runs the tests has what the project imports."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import SubprocessError

from testbay import process
from testbay.init import workflow
from testbay.init.project import Project
from testbay.manifest.environments import environment, without_pytest

_ASK = """
import sys
sys.path = [entry for entry in sys.path if entry]  # not the project's own folder: asking runs none of its files
import importlib.util, json
names = json.loads(sys.argv[1])
print(json.dumps([name for name in names if importlib.util.find_spec(name) is None]))
"""
_TOOLS = {  # by a file that only this tool writes
    "uv.lock": "uv sync",
    "poetry.lock": "poetry install",
    "pdm.lock": "pdm install",
    "Pipfile": "pipenv install --dev",
}
_PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "yaml": "PyYAML",
    "dotenv": "python-dotenv",
    "nats": "nats-py",
    "PIL": "Pillow",
}
_SCRIPTS = ("setup.py", "noxfile.py", "fabfile.py", "locustfile.py", "conf.py", "dodo.py")
_ASIDE = {"docs", "doc", "scripts", "examples", "example", "notebooks", "bench", "benchmarks", "tools", "deploy"}
_SHOWN = 5


def absent(project: Project, environ: Mapping[str, str]) -> str:
    """List the imports that the project's Python lacks, with the command that installs them; empty without any."""
    found = environment(project.root, environ)
    if found is None and (passed := without_pytest(project.root)):
        return f"pytest in {passed}, the project's environment: {passed}/bin/python -m pip install pytest pytest-cov"
    python = found[0] if found else Path(sys.executable)
    names = sorted(set(_imported(project)))
    names += ["pytest_django"] if project.manage else []
    names += ["greenlet"] if any("create_async_engine(" in source.text for source in project.code) else []
    try:
        asked = process.run([python, "-c", _ASK, json.dumps(names)], cwd=project.root, timeout_s=30)
        lacking = json.loads(asked.out)
    except (OSError, SubprocessError, ValueError):
        return ""
    if not lacking:
        return ""
    more = " …" if len(lacking) > _SHOWN else ""
    return f"{', '.join(lacking[:_SHOWN])}{more} in {python}: {_command(project, lacking)}"


def _command(project: Project, lacking: list[str]) -> str:
    """Compose the command that installs the project's packages, as its files name them."""
    tool = next((command for file, command in _TOOLS.items() if (project.root / file).is_file()), "")
    named = workflow.packages(project)
    words = tool or (
        f"pip install {named}" if named else f"pip install {' '.join(_PACKAGES.get(name, name) for name in lacking)}"
    )
    return words if "pytest_django" not in lacking or project.has("pytest-django") else f"{words} pytest-django"


def _imported(project: Project) -> Iterator[str]:
    """The packages that modules import when they are loaded, those of the project's own folders left out."""
    own = {part for source in project.sources for part in source.path.with_suffix("").parts}
    own -= set(_below_src(project))
    for source in project.sources:
        if source.path.name in _SCRIPTS or _ASIDE & set(source.path.parts):
            continue
        yield from (name for name in source.imports if name not in own and name not in sys.stdlib_module_names)


def _below_src(project: Project) -> set[str]:
    """The project's own packages that are importable only when it is installed."""
    settings = str(project.table("tool", "pytest")) + "".join(map(project.text, ("pytest.ini", "tox.ini", "setup.cfg")))
    settings += "".join(source.text for source in project.sources if source.path.name == "conftest.py")
    if "pythonpath" in settings or "sys.path" in settings:
        return set()
    return {
        source.path.parts[1] for source in project.code if source.path.parts[0] == "src" and len(source.path.parts) > 2
    }
