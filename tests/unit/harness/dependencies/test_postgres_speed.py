"""What makes PostgreSQL's start and its copies quick, for the versions that know it."""

from itertools import pairwise
from pathlib import Path

import pytest

from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import native
from testbay.manifest.compose.reading import ComposeService


@pytest.mark.parametrize(
    ("version", "settings"),
    [("15.4", []), ("16.2", ["wal_recycle=off"]), ("18.1", ["wal_recycle=off", "io_method=sync"])],
)
def test_initdb_writes_what_the_version_knows(tmp_path: Path, version: str, settings: list[str]) -> None:
    """Into postgresql.conf, which every setting of the compose file beats."""
    asked = ComposeService(key="db", image="postgres", environment={"POSTGRES_PASSWORD": "pw"}, command=())
    made = native.plan(asked, Server(program=Path("/pg/postgres"), version=version, source="system"), tmp_path)
    initdb = made["prepare"][0]["argv"]

    assert [after for word, after in pairwise(initdb) if word == "--set"] == settings
