"""Reports of shards made one; those of a stranger cannot lead out of their folder."""

import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from coverage import CoverageData

from testbay.errors import TestsDidNotRunError
from testbay.harness.run.record import Record
from testbay.harness.run.recordparts import ShardPart
from testbay.harness.run.shards import combine
from testbay.harness.run.shards.artifacts import Artifact
from testbay.manifest.service import Manifest

Service = Callable[..., Manifest]
CODE = "def f(x):\n    if x:\n        return 1\n    return 2\n"
THERE = "/home-of-ci/app/src"


def shard(place: Path, number: int) -> Artifact:
    """A shard's folder, still empty."""
    place.mkdir(parents=True)
    part = ShardPart(number=number, of=2, durations="", source=THERE)
    started = datetime(2026, 1, number, tzinfo=UTC)
    run = Record(id=f"run{number}", service="shop", started=started, shard=part)
    return Artifact(folder=place, part=part, started=started, run=run)


@pytest.fixture
def two(tmp_path: Path) -> list[Artifact]:
    return [shard(tmp_path / "one", 1), shard(tmp_path / "two", 2)]


@pytest.fixture
def shop(service: Service) -> Manifest:
    """A service with one source file."""
    manifest = service()
    (manifest.root / "src").mkdir()
    (manifest.root / "src/app.py").write_text(CODE, encoding="utf-8")
    return manifest


def measured(shard: Artifact, arcs: list[tuple[int, int]], name: str = f"{THERE}/app.py") -> Path:
    """Coverage data as a shard leaves it, on its own machine."""
    data = CoverageData(str(shard.folder / "coverage.db"))
    data.add_arcs({name: arcs})
    data.close()
    return shard.folder / "coverage.db"


def test_coverage_is_that_of_all_in_this_checkout(two: list[Artifact], shop: Manifest, tmp_path: Path) -> None:
    """A branch that one shard took and one that the other took are both taken; nothing else is left behind."""
    measured(two[0], [(-1, 1), (1, -1), (-1, 2), (2, 3), (3, -1)])
    measured(two[1], [(-1, 1), (1, -1), (-1, 2), (2, 4), (4, -1)])
    (tmp_path / "out").mkdir()

    combine.coverage(two, shop, tmp_path / "out")

    found = json.loads((tmp_path / "out/coverage.json").read_text(encoding="utf-8"))
    assert list(found["files"]) == ["src/app.py"]
    assert found["files"]["src/app.py"]["executed_branches"] == [[2, 3], [2, 4]]
    assert found["totals"]["percent_covered"] == 100.0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "coverage.db",
        "coverage.json",
        "coverage.xml",
    ]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", f"{THERE}/../../../etc/passwd", f"{THERE}-2/app.py", f"{THERE}/..\\..\\x.py", "src/app.py"],
)
def test_coverage_of_other_files_is_refused(two: list[Artifact], shop: Manifest, tmp_path: Path, name: str) -> None:
    """A report would read them."""
    measured(two[0], [(1, 2)], name)

    with pytest.raises(TestsDidNotRunError) as refused:
        combine.coverage(two[:1], shop, tmp_path)

    assert (refused.value.what, refused.value.why) == (
        f"{two[0].folder / 'coverage.db'} cannot be used",
        f"{name!r} is not in {THERE}, which was measured",
    )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER boom AFTER INSERT ON arc BEGIN DELETE FROM arc; END",
        "INSERT INTO tracer VALUES (1, 'os.system')",
        "INSERT INTO file (path) VALUES (x'00')",
    ],
)
def test_a_database_with_more_in_it_is_refused(
    two: list[Artifact], shop: Manifest, tmp_path: Path, statement: str
) -> None:
    """SQLite would run it, coverage.py would load it."""
    with sqlite3.connect(measured(two[0], [(1, 2)])) as database:
        database.execute(statement)
    database.close()

    with pytest.raises(TestsDidNotRunError, match="it holds what no run of testbay puts there"):
        combine.coverage(two[:1], shop, tmp_path)


def test_damaged_coverage_is_named(two: list[Artifact], shop: Manifest, tmp_path: Path) -> None:
    """No database, half of one, none at all."""
    half = measured(two[0], [(1, 2)]).read_bytes()[:5000]
    for content in (b"not a database, but long enough for a header" * 9, half, b""):
        (two[0].folder / "coverage.db").write_bytes(content)
        with pytest.raises(TestsDidNotRunError, match=r"one/coverage.db cannot be used"):
            combine.coverage(two[:1], shop, tmp_path)

    with pytest.raises(TestsDidNotRunError, match=r"two/coverage.db cannot be used\n  why:      No such file"):
        combine.coverage(two[1:], shop, tmp_path)


def test_another_commit_is_not_reported_on(two: list[Artifact], shop: Manifest, tmp_path: Path) -> None:
    """A file that was measured and is not here: the numbers would be of something else."""
    measured(two[0], [(1, 2)], f"{THERE}/gone.py")

    with pytest.raises(TestsDidNotRunError) as refused:
        combine.coverage(two[:1], shop, tmp_path)

    assert refused.value.what == "the shards' coverage does not fit this checkout"
    assert refused.value.why.startswith(f"No source for code: '{shop.root / 'src/gone.py'}'")
    assert refused.value.todo == "check out the commit that the shards ran"


def test_nothing_measured_is_no_coverage(two: list[Artifact], shop: Manifest, tmp_path: Path) -> None:
    """As after a run whose service has no code."""
    data = CoverageData(str(two[0].folder / "coverage.db"))
    data.add_arcs({})
    data.close()

    combine.coverage(two[:1], shop, tmp_path)

    assert not (tmp_path / "coverage.json").exists()


def report(shard: Artifact, inner: str, head: str = "", **counts: int) -> None:
    numbers = "".join(f' {name}="{number}"' for name, number in counts.items())
    text = f'<?xml version="1.0" encoding="utf-8"?>{head}<testsuites><testsuite{numbers} time="1.5">{inner}</testsuite>'
    (shard.folder / "junit.xml").write_text(f"{text}</testsuites>", encoding="utf-8")


def test_junit_is_one_suite(two: list[Artifact], tmp_path: Path) -> None:
    """Counts and times are added up; what a test case holds is kept."""
    report(
        two[0],
        '<testcase name="a&#233;"><failure message="&lt;no&gt;">1 &lt; 2</failure></testcase>',
        tests=1,
        failures=1,
    )
    report(two[1], '<testcase name="b"/><testcase name="c"><skipped/></testcase>', tests=2, skipped=1)

    combine.junit(two, tmp_path)

    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    assert suite.attrib == {
        "name": "pytest",
        "errors": "0",
        "failures": "1",
        "skipped": "1",
        "tests": "3",
        "time": "3.000",
        "timestamp": "2026-01-01T00:00:00+00:00",
    }
    assert [(case.get("name"), "".join(case.itertext())) for case in suite] == [("aé", "1 < 2"), ("b", ""), ("c", "")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "no element found", id="empty"),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "c">]><testsuites>&b;</testsuites>', "it has a document type", id="entity"
        ),
        pytest.param("<html/>", "it is not a JUnit report", id="other"),
        pytest.param(
            "<testsuites>" + "<a>" * 5000 + "</a>" * 5000 + "</testsuites>", "it is not a JUnit report", id="deep"
        ),
        pytest.param('<testsuites><testsuite tests="x"/></testsuites>', "invalid literal for int()", id="count"),
    ],
)
def test_a_damaged_report_is_named(two: list[Artifact], tmp_path: Path, text: str, why: str) -> None:
    """No entity is expanded, nothing is fetched, no stack runs over."""
    (two[0].folder / "junit.xml").write_text(text, encoding="utf-8")

    with pytest.raises(TestsDidNotRunError) as refused:
        combine.junit(two[:1], tmp_path)

    assert refused.value.what == f"{two[0].folder / 'junit.xml'} cannot be used"
    assert refused.value.why.startswith(why)


def test_a_report_of_another_encoding_is_refused(two: list[Artifact], tmp_path: Path) -> None:
    """In which a document type would not be seen."""
    (two[0].folder / "junit.xml").write_bytes("<!DOCTYPE a><testsuites/>".encode("utf-16"))

    with pytest.raises(TestsDidNotRunError, match=r"junit\.xml cannot be used\n  why:      'utf-8' codec can't decode"):
        combine.junit(two[:1], tmp_path)
