"""A program that loads pytest while the servers start, and then becomes the pytest of `testbay run`.

Run as a file by `pytestprocess`, in the project's own Python, which may have no testbay. Its argument is the descriptor
of a pipe, which brings JSON: pytest's arguments, the environment, whether that takes a new interpreter, and whether
standard output was lost meanwhile. An empty pipe means that no tests are run.
"""

import json
import os
import runpy
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

_AT_ONCE = "-"  # instead of the descriptor: all is said


def main() -> None:
    """Load pytest, wait for the rest, and run the tests."""
    channel = sys.argv.pop(1)
    if channel != _AT_ONCE:
        _load()
        _become(int(channel))
    # Behind Python's own and the libraries the project is on the path from the start: `-p` and PYTEST_PLUGINS name
    # plugins there, as for `python -m pytest`.
    sys.path.append(str(Path.cwd()))
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


def _load() -> None:
    """Load what pytest always loads before it looks at the project; what is broken is reported when pytest runs."""
    with suppress(Exception):
        import_module("coverage")
        for name in import_module("_pytest.config").default_plugins:
            import_module(f"_pytest.{name}")


def _become(channel: int) -> None:
    """Take over the arguments and the environment that the pipe brings."""
    with open(channel, "rb") as pipe:
        text = pipe.read()
    if not text:
        os._exit(0)
    sent = json.loads(text)
    arguments, environ = sent["arguments"], sent["environ"]
    if sent["lost"]:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if sent["anew"] or any(_belongs_to_the_project(name) for name in ("sitecustomize", "usercustomize")):
        anew = [sys.executable, "-P", __file__, _AT_ONCE, *arguments]
        os.execve(sys.executable, anew, environ)  # noqa: S606 - words, not a line for a shell
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = arguments


def _belongs_to_the_project(name: str) -> bool:
    """Return whether a module has run at Python's start that may have read the variables; Debian's is beside os.py."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and Path(file).parent != Path(os.__file__).parent


if __name__ == "__main__":
    main()
