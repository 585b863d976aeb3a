"""A project: its packages and sources, read from its files, never executed."""

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from testbay.init import packages, syntax
from testbay.init.files import ProjectFiles
from testbay.manifest.compose import dockerfile
from testbay.manifest.project import repository

_LIMIT_FILES = 2_000
_DEEPEST = 200  # parts in parts: "a" + "b" + … of more texts than that is data
_NAMED = 5
_DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # of the projects in a repository
PASSED_OVER = {"node_modules", "site-packages", "__pycache__", "venv", "env", "build", "dist"}
SHOWN = {"docs", "doc", "docs_src", "examples", "example", "benchmarks"}
ASIDE = ("scripts", "tools", "ci")  # folders of programs that are not the one under test
_NAMES_PACKAGES = ("pyproject.toml", "requirements*.txt", "setup.py", "setup.cfg", "Pipfile")
_SERVER = re.compile(r"[\w+]*(postgres|redis|valkey|nats)[\w+]*://")
_READERS = ("os", "environs", "environ", "decouple", "starlette.config")
_MADE_BY = {"Env": "env", "FileAwareEnv": "env", "Config": "config", "AutoConfig": "config"}
_Result = TypeVar("_Result")
_Options = ParamSpec("_Options")
_Node = TypeVar("_Node", bound=ast.AST)
_EXAMPLES = (
    *(".env.test", ".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", ".example.env"),
    *(".env-example", ".env_example", ".env-sample", ".env_sample", "env.example", "env.sample", "sample.env"),
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the manifest: `value` as TOML, `source` where in the project it comes from."""

    key: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file: its text and its syntax tree; the tree is None for a file that cannot be read as Python."""

    path: Path
    text: str = field(repr=False)

    @property
    def tree(self) -> ast.Module | None:
        return self._parsed[0]

    @property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, the outer ones first."""
        return self._parsed[1]

    def of(self, *kinds: type[_Node]) -> list[_Node]:
        """Return the nodes of these very kinds, the outer ones first."""
        if kinds not in self._of_kinds:
            self._of_kinds[kinds] = [node for node in self.nodes if type(node) in kinds]
        return self._of_kinds[kinds]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [node for node in self.nodes if isinstance(node, syntax.FUNCTIONS)]

    @cached_property
    def assignments(self) -> list[tuple[ast.expr, ast.expr]]:
        """Target and value of each assignment; of `a = b = 1` the first target."""
        return list(syntax.assignments(self.of(ast.Assign, ast.AnnAssign)))

    def at(self, node: ast.AST) -> str:
        """Return the place of a node, as file and line."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"

    @cached_property
    def _of_kinds(self) -> dict[tuple[type[ast.AST], ...], list[Any]]:
        return {}

    @cached_property
    def _parsed(self) -> tuple[ast.Module | None, list[ast.AST]]:
        try:
            with warnings.catch_warnings(action="ignore"):  # of a stranger's escapes
                tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None, []
        nodes = _nodes_of(tree)
        return (_without_aliases(tree, nodes), nodes) if nodes else (None, [])

    @cached_property
    def imports(self) -> list[str]:
        """The packages that are imported at the top level; those below `try` or `if` are optional and left out."""
        found = []
        for statement in self.tree.body if self.tree else ():
            if isinstance(statement, ast.Import):
                found += [alias.name.partition(".")[0] for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
                found.append(statement.module.partition(".")[0])
        return found

    @cached_property
    def origins(self) -> dict[str, str]:
        """The last part of the module from which each name is imported: `db_url` for `connect` of playhouse.db_url."""
        froms = (node for node in self.of(ast.ImportFrom) if node.module)
        return {alias.name: str(node.module).rpartition(".")[2] for node in froms for alias in node.names}

    @property
    def is_test(self) -> bool:
        folders = {"tests", "test"} & set(self.path.parts[:-1])
        return bool(folders) or self.path.name.startswith(("test_", "conftest")) or self.path.stem in ("test", "tests")

    @property
    def is_conftest(self) -> bool:
        return self.path.name == "conftest.py"


@dataclass(frozen=True, kw_only=True)
class Project(ProjectFiles):
    """A folder with a program in it. Paths are relative to `root`."""

    results: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False, repr=False)  # of `once`

    @cached_property
    def manage(self) -> str:
        """The path of Django's manage.py: in the root, else in the only folder that has one; empty without one.

        A folder in a folder counts where none is nearer: `app/shop/manage.py`.
        """
        for depth in _DEPTHS[:3]:
            found = [file.relative_to(self.root) for file in self.root.glob(f"{depth}manage.py")]
            names = [str(file) for file in found if not PASSED_OVER & set(file.parts)]
            if names:
                return names[0] if len(names) == 1 and "django" in self.text(names[0]).lower() else ""
        return ""

    @cached_property
    def packages(self) -> dict[str, str]:
        """The packages that the project depends on, each with the file that names it."""
        beside = (
            (name, os.path.normpath(folder / file))
            for folder, other in self.beside.items()
            for name, file in packages.named(other).items()
        )
        return dict(beside) | packages.named(self)

    @cached_property
    def beside(self) -> dict[Path, "Project"]:
        """The projects of the same repository that this one depends on, as members of a workspace do."""
        top = repository(self.root)
        files = [file for depth in _DEPTHS for file in sorted(top.glob(f"{depth}pyproject.toml"))]
        others = [Project(root=file.parent) for file in files if not PASSED_OVER & set(file.relative_to(top).parts)]
        named = {name: one for one in others for name in packages.names([one.name[0]])}
        found: dict[Path, Project] = {}
        asked = [self]
        for one in asked:
            needed = [named[name] for name in packages.named(one) if name in named]
            new = [other for other in needed if other.root not in (found.keys() | {self.root.resolve()})]
            found |= {other.root: other for other in new}
            asked += new
        return {Path(os.path.relpath(folder, self.root.resolve())): other for folder, other in found.items()}

    @cached_property
    def name(self) -> tuple[str, str]:
        """The project's name, and the file that gives it; both empty where none does."""
        named = self.table("project").get("name") or self.table("tool", "poetry").get("name")
        if isinstance(named, str):
            return named, "pyproject.toml"
        if match := re.search(r"^\[metadata\][^\[]*?^name\s*=\s*(\S+)", self.text("setup.cfg"), re.MULTILINE):
            return match[1], "setup.cfg"
        said = self.text("setup.py")
        if match := re.search(r"""setup\([^()]*?\bname\s*=\s*(?:(\w+)|["']([\w.-]+)["'])""", said):
            held = match[1] and re.search(rf"""^{match[1]}\s*=\s*["']([\w.-]+)["']""", said, re.MULTILINE)
            name = held[1] if held else match[2]
            return (name, "setup.py") if name else ("", "")
        return "", ""

    @property
    def is_library(self) -> bool:
        """Whether the project is published for others: it has classifiers, for a package index."""
        tables = [self.table("project"), self.table("tool", "poetry")]
        return any("classifiers" in held for held in (*tables, self.text("setup.cfg"), self.text("setup.py")))

    @cached_property
    def inner(self) -> list[str]:
        """The folders, at most two levels deep, that name packages of their own."""
        patterns = [depth + name for depth in ("*/", "*/*/") for name in _NAMES_PACKAGES]
        files = [file for pattern in patterns for file in self.root.glob(pattern)]
        folders = sorted({file.parent.relative_to(self.root) for file in files})
        return [f"{folder}/" for folder in folders if not PASSED_OVER & set(folder.parts)]

    @property
    def only_inner(self) -> list[str]:
        """The folders with packages of their own; empty if sources or packages, but a workspace's, are outside."""
        inside = tuple(self.inner)
        outside = [s for s in self.sources if not str(s.path).startswith(inside)]
        named = [file for file in self.packages.values() if not file.startswith(inside)]  # not: `-r backend/dev.txt`
        own = named and not self.table("tool", "uv", "workspace")
        return [] if own or outside else self.inner

    @cached_property
    def sources(self) -> list[Source]:
        """The Python files, without those of tools and virtual environments."""
        found = []
        for path in self._python_files():
            found.append(Source(path=path, text=self.text(str(path))))
            if len(found) >= _LIMIT_FILES:
                break
        return found

    def _python_files(self) -> Iterator[Path]:
        for folder, inner, files in os.walk(self.root):
            here = Path(folder)
            inner[:] = sorted(
                name
                for name in inner
                if name not in PASSED_OVER and not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
            )
            yield from ((here / name).relative_to(self.root) for name in sorted(files) if name.endswith(".py"))

    @cached_property
    def code(self) -> list[Source]:
        """The program's sources, without tests, migrations, documentation and examples; those beside it come last."""
        return [source for source in (*self.sources, *self._beside) if _is_of_program(source)]

    @property
    def tests(self) -> list[Source]:
        return [source for source in self.sources if source.is_test]

    @cached_property
    def _beside(self) -> list[Source]:
        pairs = ((folder, source) for folder, other in self.beside.items() for source in other.sources)
        return [Source(path=folder / source.path, text=source.text) for folder, source in pairs]

    def below(self, name: str) -> Iterator[Path]:
        """Yield the files of this name in the folders that hold sources, and above them, without the project's own."""
        folders = sorted({parent for source in self.sources for parent in source.path.parents[:3]})
        beside = [folder for folder in folders if folder != Path() and (self.root / folder / name).is_file()]
        yield from (folder / name for folder in beside if re.fullmatch(r"[\w./-]+", str(folder)))

    def has(self, *packages: str) -> str:
        """Return the first of these packages that the project depends on; empty if none."""
        return next((name for name in packages if name in self.packages), "")

    def module(self, path: Path) -> str:
        """Return the dotted name by which a file is imported from the project's root, or from its src/."""
        parts = path.with_suffix("").parts
        parts = parts[1:] if parts[0] == "src" else parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def workflows(self) -> list[str]:
        """The files of GitHub's workflows."""
        return sorted(str(file.relative_to(self.root)) for file in self.root.glob(".github/workflows/*.y*ml"))

    def example(self, name: str) -> str:
        """Return the value that an example file gives a variable; empty without one."""
        return self.examples.get(name, ("", ""))[0]

    @cached_property
    def examples(self) -> dict[str, tuple[str, str]]:
        """The variables of example files such as `.env.example`, each with value and file.

        Those of the Dockerfile that hold a server's address, too: others there are of the deployment.
        """
        found: dict[str, tuple[str, str]] = {}
        for name in _EXAMPLES:
            for line in self.text(name).splitlines():
                if match := re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)", line):
                    found.setdefault(match[1], (_value(match[2].strip()), name))
        for variable, value in dockerfile.read({"context": str(self.root)}).environment.items():
            if _SERVER.match(value):
                found.setdefault(variable, (value, "Dockerfile"))
        return found


def _is_of_program(source: Source) -> bool:
    top = next(part for part in source.path.parts if part != "..")
    return not source.is_test and "migrations" not in source.path.parts and top not in SHOWN


def once(
    compute: Callable[Concatenate[Project, _Options], _Result],
) -> Callable[Concatenate[Project, _Options], _Result]:
    """Let a function compute its result for each project, with the same options, only once."""

    @wraps(compute)
    def stored(project: Project, /, *args: _Options.args, **options: _Options.kwargs) -> _Result:
        key = (compute, args, *options.items())
        if key not in project.results:
            project.results[key] = compute(project, *args, **options)
        result: _Result = project.results[key]
        return result

    return stored


def _without_aliases(tree: ast.Module, nodes: list[ast.AST]) -> ast.Module:
    """Call by its usual name what a module imports to read variables, and what it makes of that.

    In `from os import environ as e`, `from decouple import config as c` and `cfg = Config(RepositoryEnv(".env"))`.
    """
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module in _READERS]
    imported = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    names = {given: name for given, name in imported.items() if given != name}
    known = imported or {"environ", "environs"} & set(map(_module, tree.body))
    for target, value in syntax.assignments(tree.body) if known else ():
        kind = syntax.last(value.func) if isinstance(value, ast.Call) else ""
        if isinstance(target, ast.Name) and (name := _MADE_BY.get(names.get(kind, kind))):
            names[target.id] = name
    for node in nodes if names else ():
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return tree


def _module(statement: ast.stmt) -> str:
    return statement.names[0].name if isinstance(statement, ast.Import) else ""


def listed(folders: list[str]) -> str:
    """Name the first of these folders, for a message."""
    return " and ".join(folders[:_NAMED]) + (" …" if len(folders) > _NAMED else "")


def _nodes_of(tree: ast.Module) -> list[ast.AST]:
    """List the nodes of a tree; none if it is too deep for functions that call themselves for each part, as unparse."""
    nodes: list[ast.AST] = []
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        nodes += level
        level = [part for node in level for part in ast.iter_child_nodes(node)]
    return [] if level else nodes


def _value(text: str) -> str:
    """Parse a value of an example file: without quotes and without a comment behind it."""
    if text[:1] in ("'", '"') and text[:1] in text[1:]:
        return text[1:].partition(text[0])[0]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip().strip("\"'")
