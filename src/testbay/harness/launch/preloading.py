"""Preloading a service's libraries, and deciding whether the interpreter may then be forked.

Belongs to the program `forkserver.py`: nothing of testbay is imported.
"""

import gc
import importlib
import importlib.machinery
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_HARMLESS = ("/dev/null", "/dev/urandom", "/dev/random")
_BETWEEN = ("os", "collections.abc", "_collections_abc")  # an environment is a mapping
COPIES = {"wsgiref.handlers": "BaseHandler"}  # this class has a copy of the environment, `os_environ`
_PATCHERS = ("gevent.monkey", "eventlet.patcher")  # they must be imported before the modules they patch


def allowed_folders() -> tuple[str, ...]:
    """List the folders of Python's own modules and of installed packages; all other code is the project's."""
    import site

    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({f"{os.path.realpath(path)}{os.sep}" for path in paths if path})


class ModuleNotes:
    """A finder that finds nothing, and appends the name of each imported module to a file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG002 - as importlib asks
        """Append the name. The file is opened each time: the service could close and reuse an open descriptor."""
        try:
            noted = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.write(noted, f"{name}\n".encode())
            os.close(noted)
        except OSError:
            return


class Watch:
    """A finder that finds nothing, and blocks the service's `own` packages and modules."""

    def __init__(self, own: Sequence[str]) -> None:
        self.at = ""
        self.spoilt: dict[str, str] = {}
        self._own = set(own)
        self._known: dict[str, bool] = {}
        self._allowed = allowed_folders()

    def is_own(self, name: str) -> bool:
        """Return whether a module is the service's own, or lies outside of installed packages."""
        top = name.partition(".")[0]
        if top not in self._known:
            self._known[top] = top in self._own or not all(
                os.path.realpath(place).startswith(self._allowed) for place in self._places(top)
            )
        return self._known[top]

    def _places(self, top: str) -> list[str]:
        """Locate a package; empty if it is built into Python, or not found."""
        spec = next(filter(None, self._specs(top)), None)
        if spec is None:
            return []
        named = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
        return [place for place in named if os.sep in place]

    def _specs(self, top: str) -> Iterator[importlib.machinery.ModuleSpec | None]:
        if top in sys.modules:
            yield getattr(sys.modules[top], "__spec__", None)
            return
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                yield finder.find_spec(top, None, None)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG002 - as importlib asks
        """Block the service's own code, and note for which library it would have been loaded."""
        if "." not in name and self.is_own(name):
            self.spoil(f"it imports {name}, which is the service's own")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def spoil(self, why: str) -> None:
        """Note that the module being loaded cannot be preloaded."""
        self.spoilt.setdefault(self.at, why)


class Environment(os._Environ):  # type: ignore[type-arg] # noqa: SLF001 - the very class, to stand in for it
    """A stand-in for `os.environ` during preloading: it notes which module reads which variable."""

    reads: dict[str, tuple[str | None, str]] = {}  # noqa: RUF012 - there is one environment
    whole = ""  # the module that looked at all of them

    def __getitem__(self, name: str) -> str:
        """Note the variable."""
        if reader := _reader():
            found = self._data.get(self.encodekey(name))  # type: ignore[attr-defined]
            self.reads.setdefault(name, (None if found is None else self.decodevalue(found), reader))
        return str(super().__getitem__(name))

    def __iter__(self) -> Iterator[str]:
        """Note that all variables may have been read."""
        Environment.whole = Environment.whole or _reader()
        return super().__iter__()


def _reader() -> str:
    """The module that reads a variable; empty for one whose copy of the environment is renewed in each fork."""
    frame = sys._getframe(2)  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals["__name__"] in _BETWEEN:
        frame = frame.f_back
    name = str(frame.f_globals["__name__"])
    return "" if name in COPIES else name


def load(names: Sequence[str], own: Sequence[str]) -> dict[str, Any]:
    """Import the modules; return the answer to the order.

    `spoilt` are modules that must not be preloaded, each with the reason: another interpreter has to do without.
    `unsafe` says why this one may not be forked. `reads` are the variables that were read, each with its value and the
    reading module; `whole` is a module that looked at all variables; `written` are those that were changed.
    """
    before = dict(os.environ)
    descriptors, shared = _descriptors(), _shared_memory()
    watch = Watch(own)
    makers = tempfile.mkdtemp, tempfile.mkstemp
    made: list[str] = []
    sys.meta_path.insert(0, watch)
    os.environ.__class__ = Environment
    for maker in ("mkdtemp", "mkstemp"):
        setattr(tempfile, maker, _spoiling(watch, getattr(tempfile, maker), made))
    gc.disable()
    try:
        for name in names:
            _import(name, watch)
    finally:
        tempfile.mkdtemp, tempfile.mkstemp = makers
        for path in made:  # this interpreter serves no start, so nobody will use them
            if os.path.isdir(path):  # noqa: PTH112
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink(missing_ok=True)
        os.environ.__class__ = os._Environ  # noqa: SLF001
        sys.meta_path.remove(watch)
    after = dict(os.environ)
    return {
        "spoilt": watch.spoilt,
        "unsafe": _unsafe(descriptors, shared),
        "reads": Environment.reads,
        "whole": Environment.whole,
        "written": {name: after.get(name) for name in before | after if before.get(name) != after.get(name)},
    }


def _import(name: str, watch: Watch) -> None:
    watch.at = name
    if watch.is_own(name):
        return
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # a module that does not exist was not found by the service either
            watch.spoil(f"it needs {error.name}")
    except BaseException as error:  # noqa: BLE001 - whatever it is: half of the module may have been executed
        watch.spoil(f"{type(error).__name__}: {error}")


def _spoiling(watch: Watch, make: Any, made: list[str]) -> Any:
    def maker(*args: Any, **options: Any) -> Any:
        watch.spoil("it makes a temporary file")
        result = make(*args, **options)
        made.append(os.fsdecode(result if isinstance(result, str | bytes) else result[1]))
        return result

    return maker


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - as light as possible
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:  # the one that lists
            continue
    return found


def _shared_memory() -> set[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return {" ".join(words) for words in map(str.split, lines) if words[1].endswith("s") and "w" in words[1]}


def _unsafe(descriptors: dict[str, str], shared: set[str]) -> str:
    """Say why the interpreter must not be forked (threads, open files, shared memory …); empty if it may be."""
    if (threads := len(os.listdir("/proc/self/task"))) > 1:  # noqa: PTH208
        return f"its libraries start threads as they are imported ({threads - 1})"
    opened = [where for number, where in _descriptors().items() if where not in (descriptors.get(number), *_HARMLESS)]
    if opened:
        return f"its libraries leave {opened[0]} open as they are imported"
    if _shared_memory() - shared:
        return "its libraries share memory with other processes"
    if patcher := next((name for name in _PATCHERS if name in sys.modules), ""):
        return f"{patcher} wants to be loaded before what it patches"
    if Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").strip():
        return "its libraries start processes as they are imported"
    return "its libraries have an event loop as they are imported" if _has_event_loop() else ""


def _has_event_loop() -> bool:
    events: ModuleType | None = sys.modules.get("asyncio.events")
    policy = getattr(events, "_event_loop_policy", None)
    return getattr(getattr(policy, "_local", None), "_loop", None) is not None
