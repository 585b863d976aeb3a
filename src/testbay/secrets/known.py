"""The known secrets, which are masked in issues and messages."""

import fnmatch
from collections.abc import Callable, Mapping
from pathlib import Path

from testbay import masking
from testbay.errors import ManifestError
from testbay.manifest.load import load_manifest
from testbay.manifest.project import find_project, service_folders

_OURS = ("GITHUB_TOKEN", "PUSHGATEWAY_PASSWORD", "RAILWAY_API_TOKEN", "RAILWAY_TOKEN", "SLACK_WEBHOOK_URL")


def of(start: Path, environ: Mapping[str, str]) -> Callable[[str], str]:
    """Make a function that masks the environment's secrets of the project around `start`.

    Secrets of all its services, as the report of one may quote another, and our own credentials.

    Raises:
        ManifestError: A manifest cannot be used: then it is unknown what is secret.
    """
    names = [*_OURS, *_named(start)]
    values = {environ[one] for name in names for one in fnmatch.filter(environ, name)}
    values.add(environ.get("SLACK_WEBHOOK_URL", "").rpartition("/")[2])  # the part that is the key
    known = [value for value in values if masking.long_enough(value)]
    return lambda text: masking.masked_cut(text, known)


def _named(start: Path) -> list[str]:
    try:
        project = find_project(start)
    except ManifestError:  # a report can be handed in from anywhere
        return []
    folders = service_folders(project).values()
    return [name for folder in folders for name in load_manifest(folder).secrets]
