"""Files such as .env that a program puts above the environment, so that no value of testbay reaches it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from testbay import process
from testbay.init.project import ASIDE, Project, Source
from testbay.init.settingsclasses import order_of_sources
from testbay.init.syntax import keywords, last, text_of

_OVERRIDES = ("override", "overwrite", "dotenv_override")  # of python-dotenv and environs, django-environ, Dynaconf
_LOADS = ("load_dotenv", "read_env", "Dynaconf", "LazySettings", "FlaskDynaconf")
_SPEAKS = re.compile(r"dotenv|read_env|Dynaconf|LazySettings")  # in a module with one of the ways
_FILE = re.compile(r"(?:.*/)?(\.env[\w.-]*)")


def overruled(project: Project) -> list[str]:
    """Describe what puts a .env file of the project above the environment, and so above testbay's values."""
    return [
        f"a way past {file}: {source.path} {how}, which puts {file} above testbay's values"
        for source, file, how in _above(project)
    ]


def files(project: Project) -> list[str]:
    """List the .env files that the program, and not only a script beside it, puts above the environment."""
    return [file for source, file, _ in _above(project) if source.path.parts[0] not in ASIDE]


def is_private(root: Path, where: str) -> bool:
    """Return whether a place is in a developer's own file: one like .env that git does not keep, or one it ignores."""
    file = where.partition(":")[0]
    if _FILE.fullmatch(file):
        return not _git(root, "ls-files", "--error-unmatch", file)
    return is_ignored(root, file)


def is_ignored(root: Path, file: str) -> bool:
    """Return whether git ignores the file."""
    return _git(root, "check-ignore", "--quiet", file)


def _git(root: Path, *words: str) -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        return process.run(["git", "-C", root, *words], timeout_s=10).code == 0
    return False


def _above(project: Project) -> Iterator[tuple[Source, str, str]]:
    """Yield a module that puts a file above the environment, that file, and how, once for each module."""
    sources = project.code if any(project.root.glob(".env*")) else ()
    for source in (one for one in sources if _SPEAKS.search(one.text)):
        named = (_FILE.fullmatch(text_of(node)) for node in source.of(ast.Constant))
        file = next((match[1] for match in named if match), ".env")
        if (project.root / file).is_file() and (how := next(_ways(source), "")):
            yield source, file, how


def _ways(source: Source) -> Iterator[str]:
    for call in source.of(ast.Call):
        given = [value for name, value in keywords(call).items() if name in _OVERRIDES]
        loads = last(call.func).endswith(_LOADS) and any(map(_is_true, given))
        if loads or (ast.unparse(call.func) == "os.environ.update" and _reads_a_file(call)):
            yield f"calls {ast.unparse(call)}"
    for table in source.of(ast.Dict):
        merged = [value for key, value in zip(table.keys, table.values, strict=True) if key is None]
        environ = next((number for number, value in enumerate(merged) if "environ" in ast.unparse(value)), len(merged))
        if any(map(_reads_a_file, merged[environ + 1 :])):
            yield f"has {ast.unparse(table)}"
    for merge in source.of(ast.BinOp):
        if isinstance(merge.op, ast.BitOr) and "environ" in ast.unparse(merge.left) and _reads_a_file(merge.right):
            yield f"has {ast.unparse(merge)}"
    for node in source.of(ast.ClassDef):
        order = order_of_sources(node)
        asked = [name for name in order if name in ("dotenv_settings", "env_settings")]
        if asked[:1] == ["dotenv_settings"]:
            yield f"asks dotenv_settings{' before' if asked[1:] else ', not'} env_settings in {node.name}"


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _reads_a_file(node: ast.AST) -> bool:
    return any(last(part.func) == "dotenv_values" for part in ast.walk(node) if isinstance(part, ast.Call))
