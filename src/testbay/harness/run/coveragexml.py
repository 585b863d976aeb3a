"""The paths in coverage.xml: relative to the repository's root, as Codecov, SonarQube and GitLab expect them."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from testbay.manifest.project import repository


def relocate(file: Path, ran_in: Path, project: Path) -> None:
    """Make the report's file names relative to the repository's root, which becomes its only source.

    coverage.py names files relative to the measured folders, and those by absolute paths of this machine: a reader
    elsewhere, such as a scanner in a container, finds none of them.
    """
    try:
        tree = ET.parse(file)  # noqa: S314 - this run's own report; expat refuses entities that grow without bound
    except (OSError, ET.ParseError):
        return  # nothing was measured, or the tests wrote over it
    root = repository(project)
    listed = [source.text or "" for source in tree.iter("source")]
    found = {name: _place(name, listed, ran_in) for name in {node.get("filename", "") for node in tree.iter("class")}}
    for node in tree.iter("class"):
        if place := found[node.get("filename", "")]:
            node.set("filename", os.path.relpath(place, root))
    for sources in tree.iter("sources"):
        sources[:] = []
        ET.SubElement(sources, "source").text = "."
    tree.write(file, encoding="utf-8", xml_declaration=True)


def _place(name: str, sources: Sequence[str], ran_in: Path) -> Path | None:
    """Find the file for a name in the report; None if it is not on this machine."""
    candidates = [ran_in / name, *(ran_in / source / name for source in sources)]
    return next((place.resolve() for place in candidates if name and place.is_file()), None)
