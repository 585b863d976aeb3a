"""Merging the reports of all shards: JUnit and coverage."""

import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import chdir, closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from testbay.errors import TestsDidNotRunError
from testbay.harness.plugin import coveragerc
from testbay.harness.run import coveragexml
from testbay.harness.run.folder import contents
from testbay.harness.run.shards.artifacts import Artifact, damaged
from testbay.manifest.service import Manifest

if TYPE_CHECKING:
    from coverage import CoverageData

# Views and triggers, which would be run; names of plugins, which would be loaded; paths that are no text.
_FOREIGN = (
    "SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index')",
    "SELECT 1 FROM tracer",
    "SELECT 1 FROM file WHERE typeof(path) <> 'text'",
)
_MOST_NESTED = 8  # a property of a test case is at 5


def junit(shards: Sequence[Artifact], folder: Path) -> None:
    """Write one junit.xml with one suite, as pytest does.

    Raises:
        TestsDidNotRunError: That of a shard is missing or damaged.
    """
    total = ET.Element("testsuite", {"name": "pytest"})
    counts = dict.fromkeys(("errors", "failures", "skipped", "tests"), 0)
    seconds = 0.0
    for shard in shards:
        file = shard.folder / "junit.xml"
        try:
            for suite in _suites(file):
                counts = {name: number + int(suite.get(name, "0")) for name, number in counts.items()}
                seconds += float(suite.get("time", "0"))
                total.extend(suite)
        except (ValueError, ET.ParseError) as error:
            raise damaged(file, str(error)) from None
    total.attrib |= {name: str(number) for name, number in counts.items()}
    total.attrib |= {"time": f"{seconds:.3f}", "timestamp": min(shard.started for shard in shards).isoformat()}
    root = ET.Element("testsuites", {"name": "pytest tests"})
    root.append(total)
    ET.ElementTree(root).write(folder / "junit.xml", encoding="utf-8", xml_declaration=True)


def _suites(file: Path) -> list[ET.Element]:
    text = contents(file).decode("utf-8")
    if "<!DOCTYPE" in text:
        raise ValueError("it has a document type, which no report needs")
    root = ET.fromstring(text)  # noqa: S314 - without a document type no entity exists to expand or to fetch
    level = [root]
    for _ in range(_MOST_NESTED):
        level = [child for element in level for child in element]
    if root.tag != "testsuites" or level:
        raise ValueError("it is not a JUnit report")
    return root.findall("testsuite")


def coverage(shards: Sequence[Artifact], manifest: Manifest, folder: Path) -> None:
    """Write coverage.db, coverage.json and coverage.xml of all shards, with paths as in this checkout.

    Raises:
        TestsDidNotRunError: The data of a shard is missing, damaged, or about files that are not the service's here.
    """
    from coverage import Coverage, CoverageData, CoverageException
    from coverage.exceptions import NoDataError

    source = manifest.source_dir.resolve()
    total = CoverageData(str(folder / "coverage.db"))
    for shard in shards:
        file = shard.folder / "coverage.db"
        try:
            _add(total, contents(file), PurePosixPath(shard.part.source), source)
        except (ValueError, sqlite3.Error, CoverageException) as error:
            raise damaged(file, str(error)) from None
    total.close()
    rules = coveragerc.completed(coveragerc.read(".coveragerc", [manifest.root]), folder, str(source), everything=False)
    rules["run"]["parallel"] = "false"
    coveragerc.write(rules, folder / "coveragerc")
    with chdir(manifest.root):  # coverage.py names files relative to here, as it did in the runs
        report = Coverage(str(folder / "coverage.db"), config_file=str(folder / "coveragerc"))
        (folder / "coveragerc").unlink()
        try:
            report.load()
            report.json_report(outfile=str(folder / "coverage.json"))
            report.xml_report(outfile=str(folder / "coverage.xml"))
            coveragexml.relocate(folder / "coverage.xml", manifest.root, manifest.root)
        except NoDataError:
            return  # as after a run whose service has no code
        except CoverageException as error:
            raise TestsDidNotRunError(
                "the shards' coverage does not fit this checkout",
                why=str(error),
                todo="check out the commit that the shards ran",
            ) from None


def _add(total: "CoverageData", data: bytes, theirs: PurePosixPath, ours: Path) -> None:
    from coverage import CoverageData

    scratch = Path(total.data_filename()).with_name(".shard.db")
    try:
        scratch.write_bytes(data)  # a copy, as SQLite writes files beside the database it reads
        with closing(sqlite3.connect(scratch)) as database:
            if any(database.execute(query).fetchone() for query in _FOREIGN):
                raise ValueError("it holds what no run of testbay puts there")
        shard = CoverageData(str(scratch))
        shard.read()
        names = {name: str(ours / _below(theirs, name)) for name in shard.measured_files()}
        total.update(shard, map_path=names.__getitem__)
        shard.close()
    finally:
        scratch.unlink(missing_ok=True)


def _below(root: PurePosixPath, name: str) -> PurePosixPath:
    """The path below the measured folder; coverage.py accepts backslashes as separators."""
    path = PurePosixPath(name.replace("\\", "/"))
    if ".." in path.parts or not path.is_relative_to(root):
        raise ValueError(f"{name!r} is not in {root}, which was measured")
    return path.relative_to(root)
