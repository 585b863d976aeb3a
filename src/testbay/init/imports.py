"""The packages that the modules of a project import, by the names under which they are imported."""

import re
import sys
from collections.abc import Collection, Iterator

from testbay.init import packages
from testbay.init.project import Project, Source, once

_PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "yaml": "PyYAML",
    "dotenv": "python-dotenv",
    "nats": "nats-py",
    "PIL": "Pillow",
    "bs4": "beautifulsoup4",
    "psycopg": "psycopg[binary]",
    "rest_framework": "djangorestframework",
    "environ": "django-environ",
    "corsheaders": "django-cors-headers",
    "django_filters": "django-filter",
    "Crypto": "pycryptodome",
    "attr": "attrs",
    "grpc": "grpcio",
    "MySQLdb": "mysqlclient",
}
_SCRIPTS = ("setup.py", "noxfile.py", "fabfile.py", "locustfile.py", "conf.py", "dodo.py")
_ASIDE = {"docs", "doc", "scripts", "examples", "example", "notebooks", "bench", "benchmarks", "tools", "deploy"}


@once
def imported(project: Project) -> dict[str, str]:
    """Map what the modules import to one of them; the standard library and the project's own are left out."""
    return {name: str(source.path) for source in reversed(project.sources) for name in _of_source(project, source)}


def package(name: str) -> str:
    """Return the package that brings what is imported under a name."""
    return _PACKAGES.get(name, name)


def is_brought(name: str, by: Collection[str]) -> bool:
    """Return whether one of these packages is called as what is imported: jwt of PyJWT.

    A part of a word does not count: sqlparse does not bring `sql`.
    """
    short = package(name).partition("[")[0].lower().replace("_", "-")
    like = re.compile(rf"(^|-|py){re.escape(short)}(-|py|python|$)")
    return any(like.search(one) or one.replace("-", "") == short for one in by)


def definition(project: Project, name: str) -> str:
    """Return the file of Protocol Buffers of which a module is made, `stock_pb2` of proto/stock.proto; else empty."""
    stem = re.sub(r"_pb2(_grpc)?$", "", name)
    folders = ("", "*/", "*/*/", "*/*/*/") if stem != name else ()
    files = (file for folder in folders for file in project.root.glob(f"{folder}{stem}.proto"))
    return next((str(file.relative_to(project.root)) for file in files), "")


def by_extras(project: Project) -> list[str]:
    """Name the packages that extras often bring: `a-pool` and `pool` for `a[pool]`."""
    asked = [text.rpartition(" ")[2].rstrip("]").partition("[")[::2] for text in packages.extras(project).values()]
    return [name for one, extras in asked for extra in extras.split(",") for name in (f"{one}-{extra}", extra)]


def _of_source(project: Project, source: Source) -> Iterator[str]:
    """List the packages that a module imports, without the standard library and the project's own."""
    if source.path.name in _SCRIPTS or _ASIDE & set(source.path.parts):
        return
    own = _own(project)
    yield from (name for name in source.imports if name not in own and name not in sys.stdlib_module_names)


@once
def _own(project: Project) -> set[str]:
    parts = {part for source in project.sources for part in source.path.with_suffix("").parts}
    return parts - below_src(project)


def below_src(project: Project) -> set[str]:
    """Return the project's packages below src/, unless the tests put that on Python's path."""
    if sets_path(project):
        return set()
    return {
        source.path.parts[1] for source in project.code if source.path.parts[0] == "src" and len(source.path.parts) > 2
    }


def sets_path(project: Project) -> bool:
    """Return whether pytest's settings or a conftest.py put a folder on Python's path."""
    settings = str(project.table("tool", "pytest")) + "".join(map(project.text, ("pytest.ini", "tox.ini", "setup.cfg")))
    settings += "".join(source.text for source in project.sources if source.is_conftest)
    return "pythonpath" in settings or "sys.path" in settings
