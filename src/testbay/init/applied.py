"""Files of SQL that the program applies when it starts, or its tests do: applied before, they would fail."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from testbay.init.project import ASIDE, Project, Source

_READS = re.compile(r"\.read(_text|_bytes|lines)?\(")
_MAKES = re.compile(r"(?i)\bcreate\s+table\s+(?!if\s+not\s+exists)")


def applied(project: Project, files: list[Path]) -> str:
    """Return the source that applies these files; empty if none does, or if they may be applied twice."""
    if not any(_MAKES.search(project.text(str(file))) for file in files):
        return ""
    names = {files[0].name, files[0].parent.name} - {""}
    for source in project.sources:
        if source.path.parts[0] not in ASIDE and ".sql" in source.text and _READS.search(source.text):
            functions = [one for one in _functions(source) if "execute" in ast.unparse(one)]
            known = {
                text for node in source.nodes if isinstance(node, ast.Constant) for text in str(node.value).split("/")
            }
            if functions and names & known and any(_runs(project, source, one.name) for one in functions):
                return str(source.path)
    return ""


def _functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _runs(project: Project, source: Source, name: str) -> bool:
    """Return whether a function runs with the tests: it is theirs, or another module imports it."""
    others = (one for one in project.sources if one is not source and one.path.parts[0] not in ASIDE)
    return source.is_test or any(re.search(rf"\bimport\b.*\b{name}\b|\.{name}\(", one.text) for one in others)
