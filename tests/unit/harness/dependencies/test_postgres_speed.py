"""What makes PostgreSQL's start and its copies quick, for the versions that know it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from testbay.harness.dependencies.endpoint import Endpoint, Server
from testbay.harness.dependencies.postgres import native, programs
from testbay.harness.dependencies.postgres import server as postgres
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


@pytest.mark.parametrize(
    ("version", "way"),
    [("18.6", " STRATEGY file_copy"), ("15beta1", " STRATEGY file_copy"), ("14.9", ""), ("", "")],
)
def test_the_files_of_the_migrated_database_are_copied_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, way: str
) -> None:
    """Before PostgreSQL 15 there is only one way, which has no name."""
    (tmp_path / "psql").write_text(f'#!/bin/sh\nfor last; do :; done; echo "$last" > {tmp_path}/said\n')
    (tmp_path / "psql").chmod(0o755)
    monkeypatch.setattr(programs, "psql", lambda: str(tmp_path / "psql"))
    shop = Endpoint(name="postgres", title="PostgreSQL", host="localhost", port=1, user="app", password="pw", db="shop")

    postgres.keep_pristine(replace(shop, version=version))

    assert (tmp_path / "said").read_text() == f'CREATE DATABASE "shop_pristine" TEMPLATE "shop"{way}\n'
