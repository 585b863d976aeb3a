"""Reading a manifest: `[tool.testbay]` in a pyproject.toml, or the same keys in a testbay.toml (as ruff does)."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbay.errors import ManifestError
from testbay.manifest import faults
from testbay.manifest.service import Manifest


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the service in `folder`.

    Raises:
        ManifestError: None there, not TOML, an unknown key, a wrong type, or a file it names is missing.
    """
    file = manifest_file(folder)
    if file is None:
        raise ManifestError(
            f"{folder} has no manifest",
            todo="add [tool.testbay] to its pyproject.toml, or a testbay.toml (`testbay explain add-a-service`)",
        )
    table = read_table(file)
    try:
        manifest = Manifest(**(table | _checks(table) | {"file": file, "root": folder}))
    except ValidationError as error:
        what = f"{file}: {faults.explain(error)}{faults.of_check(error, table)}"
        raise ManifestError(what, todo="`testbay explain reference/manifest` lists every key") from None
    _check_files(manifest)
    return manifest


def _checks(table: dict[str, Any]) -> dict[str, Any]:
    """Targets and checks, as what they are; of another type they are left for the manifest to refuse."""
    found = {name: table[name] for name in faults.OF_CHECKS if name in table}
    if not found:
        return {}
    from testbay.manifest import checks

    return dict(checks.CheckTables(**found))


def manifest_file(folder: Path) -> Path | None:
    """The file in `folder` that holds a manifest, testbay.toml first."""
    if (folder / "testbay.toml").is_file():
        return folder / "testbay.toml"
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        tools = _toml(pyproject).get("tool")
        return pyproject if isinstance(tools, dict) and "testbay" in tools else None
    return None


def read_table(file: Path) -> dict[str, Any]:
    """The table of a manifest, not yet judged.

    Raises:
        ManifestError: Not TOML, or not a table.
    """
    document = _toml(file)
    table = document if file.name == "testbay.toml" else document["tool"]["testbay"]
    for reserved in ("file", "root"):
        if not isinstance(table, dict) or reserved in table:
            raise ManifestError(
                f"{file}: [tool.testbay] is not a table of known keys", todo="`testbay explain reference/manifest`"
            )
    return table


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{file}: not TOML", why=str(error), todo="mend the line it names") from None


def _check_files(manifest: Manifest) -> None:
    named = {"tests": manifest.tests, "migrations": manifest.migrations, "source": manifest.source}
    for key, relative in named.items():
        if relative is not None and not (manifest.root / relative).exists():
            raise ManifestError(
                f"{manifest.file}: {key} = {relative!r} does not exist",
                why=f"it is looked for in {manifest.root}",
                todo="create it or mend the path",
            )
