"""A project's own coverage.py settings, completed with the place for a run's data."""

import configparser
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbay import settings

Rules = dict[str, dict[str, str]]
_FILES = (".coveragerc", ".coveragerc.toml", "setup.cfg", "tox.ini", "pyproject.toml")
_CHOOSE = ("source", "source_pkgs", "source_dirs", "include")  # each of them selects what is measured
_BEYOND_MONITORING = ("branch", "core", "dynamic_context", "plugins", "timid")
_PATTERNS = ("source", "source_dirs", "include", "omit")


def read(named: str, folders: Sequence[Path]) -> Rules:
    """Read the settings from the file `named`, else from the first file that coverage.py would read."""
    if named == _FILES[0]:  # pytest-cov's default, for which coverage.py asks this variable first
        named = settings.environ().get("COVERAGE_RCFILE") or named
    for folder in folders:
        for name in dict.fromkeys((named, *_FILES)):
            if rules := _of(folder / name):
                return rules if folder == folders[0] else _from_elsewhere(rules, folder)
    return {}


def _of(file: Path) -> Rules:
    """Read the sections without their prefix `coverage:` or `tool.coverage`; skip an unreadable file."""
    try:
        text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""  # reading a pipe would block
        if file.suffix == ".toml":
            document = tomllib.loads(text)
            tables = document.get("tool", {}).get("coverage") or (document if file.name == ".coveragerc.toml" else {})
            return {name: _as_ini(table) for name, table in tables.items() if isinstance(table, dict)}
        parsed = configparser.RawConfigParser()
        parsed.read_string(text)
    except (OSError, ValueError, configparser.Error):
        return {}  # coverage.py itself reports the error
    bare = file.name not in ("setup.cfg", "tox.ini")
    return {
        name.removeprefix("coverage:"): dict(parsed[name])
        for name in parsed.sections()
        if bare or name.startswith("coverage:")
    }


def _as_ini(table: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: "\n".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if value in (True, False)
        else str(value)
        for key, value in table.items()
    }


def _from_elsewhere(rules: Rules, folder: Path) -> Rules:
    """Adapt paths in the rules that are relative to another folder than the one coverage.py runs in."""
    moved = {section: dict(options) for section, options in rules.items()}
    for options in moved.values():
        for key in _PATTERNS:
            if key in options:
                options[key] = "\n".join(_moved(word, folder, key) for word in words(options[key]))
    return moved


def _moved(word: str, folder: Path, key: str) -> str:
    if word.startswith(("/", "*")) or (key == "source" and not (folder / word).exists()):
        return word
    return f"{_literal(folder)}/{word}"


def _literal(path: object) -> str:
    """Escape a path of ours, so that coverage.py does not take its `$` for a variable."""
    return str(path).replace("$", "$$")


def _word(path: str) -> str:
    """Write a path as one list entry: relative to the working folder if the whole path would be split."""
    return _literal(os.path.relpath(path) if {",", "\n"} & set(path) and Path(path).is_absolute() else path)


def words(text: str) -> list[str]:
    """The entries of a list, which are separated by lines or commas."""
    return [word.strip() for line in text.splitlines() for word in line.split(",") if word.strip()]


def may_monitor(rules: Rules) -> bool:
    """Return whether `sys.monitoring` on Python 3.12 and 3.13 measures all that the settings ask for: only lines."""
    run = rules.get("run", {})
    asks = any(run.get(key, "").lower() not in ("", "0", "false", "no", "off") for key in _BEYOND_MONITORING)
    return not asks and not {"greenlet", "eventlet", "gevent"} & set(words(run.get("concurrency", "")))


def completed(rules: Rules, run_dir: Path, source: str, *, everything: bool) -> Rules:
    """Complete the rules with the run's folder; `source` counts if the project names none.

    With `everything`, each Python process that the tests start is measured.
    """
    made = {section: dict(options) for section, options in rules.items()}
    run = made.setdefault("run", {})
    run |= {"data_file": _literal(run_dir / "coverage.db"), "parallel": "true"}
    run["disable_warnings"] = "\n".join(
        [*words(run.get("disable_warnings", "")), "no-data-collected", "module-not-measured"]
    )
    if source and not any(run.get(key) for key in _CHOOSE):
        run["source"] = _word(source)
    if everything:
        run["sigterm"] = "true"
        run["patch"] = "\n".join(dict.fromkeys([*words(run.get("patch", "")), "subprocess"]))
    return made


def of_the_service(rules: Rules, source: Sequence[str]) -> Rules:
    """Adapt the rules to the service's process, which ends by SIGTERM; `source` is pytest's `--cov`."""
    run = rules["run"] | {"sigterm": "true"} | ({"source": "\n".join(map(_word, source))} if source else {})
    return rules | {"run": run}


def write(rules: Rules, file: Path) -> None:
    """Write the rules in the format of coverage.py."""
    parsed = configparser.RawConfigParser()
    parsed.read_dict(rules)
    with file.open("w", encoding="utf-8") as out:
        parsed.write(out)


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """A project's settings for the percentage: decimals and minimum (`fail_under`)."""

    fail_under: float = 0.0
    precision: int = 0

    def is_low(self, percent: float) -> bool:
        """Return whether coverage.py would reject the percentage: it compares the rounded value; 100 means complete."""
        if self.fail_under == 100:
            return percent < self.fail_under
        decimals = len(f"{self.fail_under:g}".partition(".")[2])
        return round(percent, max(self.precision, decimals)) < self.fail_under


def reporting(file: Path) -> Reporting:
    """Read the project's settings for the percentage; a value other than a number counts as absent."""
    said = _of(file).get("report", {})
    try:
        return Reporting(fail_under=float(said.get("fail_under", 0)), precision=int(said.get("precision", 0)))
    except ValueError:
        return Reporting()
