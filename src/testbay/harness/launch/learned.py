"""The modules that a service loads until it is ready: learned at one start, kept until its environment changes."""

import hashlib
import importlib.metadata
import json
import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from testbay.harness.plans import Tenancy
from testbay.harness.plugin import coveragerc

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MOST_MODULES = 20_000
_MOST_BYTES = 4 << 20
_RULES = ("COVERAGE_PROCESS_START", "TESTBAY_COVERAGE")


class Learned:
    """The modules of one service in one environment, in a file of the cache."""

    def __init__(self, cache_dir: Path, tenancy: Tenancy) -> None:
        key = hashlib.sha256(json.dumps([tenancy["root"], tenancy["start"], sys.executable]).encode()).hexdigest()[:16]
        self._file = cache_dir / "preload" / f"{key}.json"
        self._lock = _lock()

    def modules(self) -> list[str] | None:
        """The modules in the order in which they were loaded; None if they are not known."""
        try:
            with self._file.open("rb") as kept:
                found = json.loads(kept.read(_MOST_BYTES))
            if found["lock"] != self._lock:
                return None
            return _valid(found["modules"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, modules: Sequence[str]) -> None:
        """Store the modules. Disk errors are ignored: the modules are then learned again."""
        text = json.dumps({"lock": self._lock, "modules": _valid(modules)})
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = self._file.with_suffix(f".{os.getpid()}")
            made.write_text(text, encoding="utf-8")
            made.replace(self._file)

    def record(self) -> Path:
        """Make an empty file for a process to write the names of its modules to."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        noted = self._file.with_suffix(f".{os.getpid()}.names")
        noted.write_bytes(b"")
        return noted


def recorded(file: Path) -> list[str]:
    """Read the names in a record, and remove it."""
    try:
        with file.open("rb") as noted:
            names = noted.read(_MOST_BYTES).decode(errors="replace").splitlines()
        file.unlink()
    except OSError:
        return []
    return _valid(names)


def _valid(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names[:_MOST_MODULES] if _NAME.fullmatch(name)))


def own_names(root: Path, env: Mapping[str, str]) -> list[str]:
    """List the service's own packages and modules, which are never preloaded."""
    names = {file.stem for folder in (root, root / "src") for file in folder.glob("*.py")}
    names |= {file.parent.name for folder in (root, root / "src") for file in folder.glob("*/__init__.py")}
    for variable in _RULES:
        if rules := env.get(variable):
            run = coveragerc.read(rules, [Path(rules).parent]).get("run", {})
            names |= {word for key in ("source", "source_pkgs") for word in coveragerc.words(run.get(key, ""))}
    return sorted(names | _installed_from(root))


def _installed_from(root: Path) -> set[str]:
    """The top-level packages that were installed from the service's folder, or from one above it."""
    found: set[str] = set()
    for distribution in importlib.metadata.distributions():
        origin = distribution.read_text("direct_url.json")
        if origin is None or '"file:' not in origin:
            continue
        with suppress(ValueError, KeyError, TypeError):
            folder = Path(unquote(urlsplit(json.loads(origin)["url"]).path))
            if root.is_relative_to(folder) or folder.is_relative_to(root):
                found |= {Path(file).parts[0].partition(".")[0] for file in distribution.files or ()}
    return {name for name in found if name.isidentifier()}


def _lock() -> str:
    """Digest the installed packages; the digest changes when one is installed, removed or replaced."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    names = [name for folder in folders if Path(folder).is_dir() for name in os.listdir(folder)]  # noqa: PTH208
    installed = sorted(name for name in names if name.endswith(("-info", ".pth")))
    return hashlib.sha256(json.dumps([sys.version, installed]).encode()).hexdigest()
