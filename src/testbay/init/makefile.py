"""The variables that a Makefile sets for its tests: `APP_ENV=test pytest`, or `export APP_ENV = test`."""

import re
import shlex

from testbay.init.project import Project

_CALL = re.compile(
    r"(?m)^\t[@-]?((?:[A-Z][A-Z0-9_]*=\S+\s+)+)(?:[\w./-]+\s+)*?(?:python3?\s+-m\s+)?(?:pytest|py\.test)\b"
)
_EXPORT = re.compile(r"(?m)^export[ \t]+([A-Z][A-Z0-9_]*)[ \t]*[:?]{0,2}=[ \t]*([^#\n]*)")
_TESTS = re.compile(r"(?m)^\t.*\b(?:pytest|py\.test)\b")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_MADE = re.compile(r"[$`]|://")  # by the shell, by make; or an address of a server
_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "COVERAGE_FILE", "VIRTUAL_ENV", "PATH")


def for_tests(project: Project) -> dict[str, str]:
    """Read the variables of the Makefile's first call of pytest, without those that testbay sets itself."""
    return {name: value for name, value in given(project).items() if is_plain(name, value)}


def given(project: Project) -> dict[str, str]:
    """Read all variables that the Makefile has for its first call of pytest."""
    text = project.text("Makefile") or project.text("makefile")
    match = _CALL.search(text)
    try:
        words = shlex.split(match[1]) if match else []
    except ValueError:
        return {}
    exported = {name: value.strip() for name, value in _EXPORT.findall(text)} if _TESTS.search(text) else {}
    return exported | dict(word.split("=", 1) for word in words if "=" in word)


def is_plain(name: str, value: str) -> bool:
    """Return whether a variable has a value of its own, and is not one that testbay sets itself."""
    return bool(_NAME.fullmatch(name)) and name not in _OURS and not _MADE.search(value)
