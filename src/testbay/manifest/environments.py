"""The virtual environment of a project: the active one, else the one in the project's folder."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_USUAL = (".venv", "venv")
_SYSTEMS = "include-system-site-packages = true"


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def installer(python: Path) -> str:
    """The command that installs packages for a Python; environments of uv, pdm and conda may have no pip."""
    folder, quoted = python.parent.parent, shlex.quote(str(python))
    settings = _settings(folder)
    has_pip = any(folder.glob("lib/python3*/site-packages/pip"))
    if has_pip or not (settings or (folder / "conda-meta").is_dir()) or _SYSTEMS in settings:
        return f"{quoted} -m pip install"
    is_uvs = any(line.startswith("uv =") for line in settings)
    return f"uv pip install --python {quoted}" if is_uvs else f"python3 -m pip --python {quoted} install"


def is_of_a_tool(python: Path) -> bool:
    """Return whether uv or pipx made an environment for a single tool: a project's packages do not belong there.

    That of `uvx` is in uv's cache, where other projects meet it.
    """
    folder = python.parent.parent
    has_receipt = any((folder / name).is_file() for name in ("uv-receipt.toml", "pipx_metadata.json"))
    return has_receipt or any((above / "CACHEDIR.TAG").is_file() for above in folder.parents)


def adding(extra: str) -> str:
    """The command that adds an extra to the running testbay.

    It names this environment: elsewhere pip would look for testbay on an index, where it is not.
    """
    return f"{installer(Path(sys.executable))} 'testbay[{extra}]'"


def _settings(folder: Path) -> list[str]:
    try:
        return (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def environment(root: Path, environ: Mapping[str, str]) -> tuple[Path, str] | None:
    """The Python program of a project's environment, and where it was named; None without one.

    An environment that no variable names must have pytest: otherwise it was not made for the tests.
    """
    # conda activates its base in every shell, which says nothing about this project.
    conda = environ.get("CONDA_PREFIX") if environ.get("CONDA_DEFAULT_ENV", "base") != "base" else None
    for name, active in (("VIRTUAL_ENV", environ.get("VIRTUAL_ENV")), ("CONDA_PREFIX", conda)):
        if active and os.path.isfile(python_of(Path(active))):  # noqa: PTH113 - it says False to one of another user
            return python_of(Path(active)), name
    return next(((python_of(folder), folder.name) for folder in _usual(root) if _has_pytest(folder)), None)


def without_pytest(root: Path) -> Path | None:
    """The project's environment that testbay ignores because it has no pytest."""
    return next((folder for folder in _usual(root) if not _has_pytest(folder)), None)


def _has_pytest(folder: Path) -> bool:
    return any(folder.glob("lib/python3*/site-packages/pytest"))


def _usual(root: Path) -> Iterator[Path]:
    """The environments under the usual names, nearest first."""
    named = (folder / name for folder in _folders(root) for name in _USUAL)
    yield from (folder for folder in named if python_of(folder).is_file())


def _folders(root: Path) -> Iterator[Path]:
    """The project's folder, and those above it in the same repository."""
    above = (root, *root.parents)
    top = next((folder for folder in above if (folder / ".git").exists()), root)
    yield from above[: above.index(top) + 1]
