"""The names that a fix has no use for: processes, the environment, the interpreter's innards, pytest's own parts."""

import ast
from collections.abc import Iterator, Sequence

REACHES = {
    "subprocess", "multiprocessing", "ctypes", "socket", "pty", "signal", "atexit", "gc", "inspect", "importlib",
    "builtins", "_pytest", "pluggy", "shutil", "marshal", "pickle", "code", "codeop", "runpy", "resource", "_thread",
    "testbay", "coverage", "site", "faulthandler", "types", "urllib", "requests", "aiohttp", "http", "ftplib",
    "smtplib", "threading", "concurrent", "sysconfig", "linecache", "mmap", "pdb", "pkgutil", "zipimport", "trace",
}  # fmt: skip
"""Modules that a fix has no use for, but a program that wants out or wants to be believed has."""
TEST_MODULES = {"pytest", "unittest", "nose", "doctest", "hypothesis", "conftest"}
"""A service that imports them asks whether it is tested."""
CALLS = {"eval", "exec", "compile", "__import__", "globals", "breakpoint", "setattr", "delattr"}
CALLED = CALLS | {"locals", "vars", "input"}
"""Names that are harmless as a variable."""
SYSTEM = {
    "_exit", "system", "popen", "fork", "forkpty", "kill", "killpg", "execv", "execve", "execvp", "execl", "execle",
    "execlp", "spawnv", "spawnl", "spawnve", "posix_spawn", "putenv", "unsetenv", "abort", "dup2", "Popen",
    "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell", "run_in_executor",
}  # fmt: skip
PLACES = ("/proc/", "/dev/", ".testbay", "tests.jsonl", "junit.xml", "coverage.json", "_pytest", "pluggy")
"""Where the results of a run are, or the descriptors of who reads them, or pytest's parts by name."""
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
INNARDS = {
    "__globals__", "__code__", "__subclasses__", "__builtins__", "__bases__", "__mro__", "__closure__", "f_globals",
    "f_locals", "f_back", "tb_frame", "gi_frame", "__getattribute__", "modules", "settrace", "setprofile", "gettrace",
    "getprofile", "_getframe", "_current_frames", "argv", "orig_argv", "meta_path", "path_hooks", "addaudithook",
    "excepthook", "unraisablehook", "displayhook", "__dict__", "__setattr__", "__delattr__", "__loader__", "__spec__",
    "attrgetter", "methodcaller", "__wrapped__", "__defaults__", "__kwdefaults__", "__func__",
}  # fmt: skip
_BY_NAME = ENVIRONMENT | SYSTEM | INNARDS


def found(nodes: Sequence[ast.AST]) -> str:
    """Name the first thing that these nodes reach for; empty without one."""
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return next((said for node in nodes if (said := _reach(node, is_called=id(node) in called))), "")


def _reach(node: ast.AST, *, is_called: bool) -> str:
    match node:
        case ast.Import() | ast.ImportFrom():
            return next(_imported(node), "")
        case ast.Call(func=ast.Name(id=name)):
            return f"{name}()" if name in CALLED or (name == "getattr" and _is_indirect(node)) else ""
        case ast.Name(id=name):
            is_dunder = name.startswith("__") and name in INNARDS
            return name if name in CALLS or is_dunder or (name == "getattr" and not is_called) else ""
        case ast.Attribute(attr=name):
            return name if name in _BY_NAME else ""
        case ast.Constant(value=str(text)):
            return next((place for place in PLACES if place in text), "")
    return ""


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
    yield from (name for name in modules if name.partition(".")[0] in REACHES)
    if isinstance(node, ast.ImportFrom):
        yield from (one.name for one in node.names if one.name in _BY_NAME)
        yield from (f"everything of {node.module}" for one in node.names if one.name == "*")


def _is_indirect(call: ast.Call) -> bool:
    """A `getattr` whose name is computed, or is one of those that are refused by name."""
    name = call.args[1] if len(call.args) > 1 else None
    return not isinstance(name, ast.Constant) or name.value in _BY_NAME
