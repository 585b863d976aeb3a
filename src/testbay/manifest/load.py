"""Reading a manifest: `[tool.testbay]` in a pyproject.toml, or the same keys in a testbay.toml (as ruff does)."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbay.errors import ManifestError
from testbay.manifest import faults
from testbay.manifest.files import manifest_file, read_table
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
    """Validate the tables about checks, and return their models; empty if there are none."""
    found = {name: table[name] for name in faults.OF_CHECKS if name in table}
    if not found:
        return {}
    from testbay.manifest import checks

    return dict(checks.CheckTables(**found))


def _check_files(manifest: Manifest) -> None:
    named = {"tests": manifest.tests, "migrations": manifest.migrations, "source": manifest.source}
    for key, relative in named.items():
        if relative is not None and not (manifest.root / relative).exists():
            raise ManifestError(
                f"{manifest.file}: {key} = {relative!r} does not exist",
                why=f"it is looked for in {manifest.root}",
                todo="create it or fix the path",
            )
    if manifest.migrations is not None and not (manifest.root / manifest.migrations).is_dir():
        raise ManifestError(
            f"{manifest.file}: migrations = {manifest.migrations!r} is a file",
            why="migrations are the *.sql files of a folder",
            todo="name the folder; the command of a migration tool is `migrate`",
        )
