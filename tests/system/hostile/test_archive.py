"""An archive that a stranger made, given to `testbay open`: nothing is run, written or read outside of its servers."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.system.conftest import Bay

from testbay.harness.engines import sandbox

FAILING = """
def test_fails(postgres, dragonfly, nats):
    dragonfly.set("k", "v")
    assert 0
"""
# Each is tried, whatever became of the one before.
STATEMENTS = [
    "COPY (SELECT 1) TO PROGRAM 'touch TARGET/new'",
    "COPY (SELECT 1) TO 'TARGET/new'",
    "CREATE TABLE stolen AS SELECT pg_read_file('TARGET/key')",
    "PERFORM lo_export(lo_create(0), 'TARGET/new')",
    "LOAD 'TARGET/key'",
    "CREATE FUNCTION f() RETURNS int AS 'TARGET/key', 'f' LANGUAGE c",
]
SQL = "".join(f"DO $$BEGIN {line}; EXCEPTION WHEN OTHERS THEN NULL; END$$;\n" for line in STATEMENTS)
KEYS = [
    {"key": "k", "type": "string", "ttl_ms": float("inf"), "value": "v"},
    {"key": "k", "type": ["SET"], "ttl_ms": None, "value": {"base64": 7}},
    {"key": "x\r\nCONFIG SET dir /", "type": "dump", "ttl_ms": None, "value": {"base64": "AAAA"}},
]


@pytest.fixture
def archive(bay: Bay) -> Path:
    """Of a test that failed."""
    bay.tests(FAILING)
    bay.run("run", "shop")
    [folder] = bay.project.glob(".testbay/runs/*/leases/1-*")
    return folder


def forge(folder: Path, name: str, text: str) -> None:
    """Replace a part, with a checksum that is right: whoever makes an archive can make that, too."""
    (folder / name).write_text(text)
    index = json.loads((folder / "archive.json").read_text())
    [part] = [part for part in index["parts"] if part["name"] == name]
    part |= {"bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (folder / "archive.json").write_text(json.dumps(index))


@pytest.mark.skipif(not sandbox.abi(), reason="this kernel has no Landlock")
def test_its_sql_reaches_nothing(bay: Bay, archive: Path, tmp_path: Path) -> None:
    """All of it is run, by a superuser of the server, who is nobody on the machine."""
    target = tmp_path / "private"
    target.mkdir()
    (target / "key").write_text("a private key")
    forge(archive, "postgres.sql", (archive / "postgres.sql").read_text() + SQL.replace("TARGET", str(target)))
    done = bay.run(
        "open", "--archive", str(archive), "psql", "-Atc", "SELECT to_regclass('stolen'), count(*) FROM items"
    )

    assert (done.code, done.lines[-1]) == (0, "|0"), done.out
    assert [file.name for file in target.iterdir()] == ["key"]


def test_commands_of_psql_are_no_sql(bay: Bay, archive: Path) -> None:
    r"""`\\!` would run a program on this side."""
    forge(archive, "postgres.sql", (archive / "postgres.sql").read_text() + f"\\! touch {archive}/new\n")
    done = bay.run("open", "--archive", str(archive), "true")

    assert (done.code, "cannot be restored" in done.out, "Traceback" in done.out) == (10, True, False), done.out
    assert not (archive / "new").exists()


@pytest.mark.parametrize("fact", KEYS, ids=["infinite", "types", "dump"])
def test_its_keys_are_refused_in_a_sentence(bay: Bay, archive: Path, fact: dict[str, object]) -> None:
    """Numbers that are none, types of no key, commands in names."""
    forge(archive, "dragonfly.jsonl", json.dumps(fact) + "\n")
    done = bay.run("open", "--archive", str(archive), "true")

    assert done.code == 10 or "not restored: " in done.out, done.out
    assert "Traceback" not in done.out
