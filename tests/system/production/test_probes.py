"""Checks of PostgreSQL, Redis and NATS, asked of the real servers of a stack."""

import json
import sys
from typing import Any

import pytest
from tests.system.conftest import Bay

CHECKS = """
[[check]]
id = "database"
kind = "postgres"
url = "${DATABASE_URL}"
query = "select count(*) as items, 1.5::numeric as share from pg_class"
expect = ["row.items > 0", "value > 0", "rows == 1", "row.share == 1.5"]
[[check]]
id = "database-is-only-read"
kind = "postgres"
url = "${DATABASE_URL}"
attempts = 1
query = "create table x (id int)"
[[check]]
id = "database-with-options"
kind = "postgres"
url = "${PATHED_URL}"
query = "show search_path"
expect = ["value == 'pg_catalog'"]
[[check]]
id = "database-without-rows"
kind = "postgres"
url = "${DATABASE_URL}"
query = "do $$begin null; end$$"
expect = ["rows == 0"]
[[check]]
id = "database-that-waits"
kind = "postgres"
url = "${DATABASE_URL}"
attempts = 1
timeout = "2s"
query = "select pg_sleep(60)"
[[check]]
id = "cache"
kind = "redis"
url = "${REDIS_URL}"
ask = ["LLEN", "jobs"]
expect = ["answer == 0"]
[[check]]
id = "messages"
kind = "nats"
url = "${NATS_URL}"
expect = ["server.major == 2"]
[[check]]
id = "nobody-answers"
kind = "nats"
url = "${NATS_URL}"
request = "nobody.here"
writes = true
attempts = 1
timeout = "5s"
[[check]]
id = "job"
kind = "heartbeat"
token = "${JOB_TOKEN}"
within = "1h"
phases = ["post-deploy"]
"""


@pytest.fixture
def asked(bay: Bay) -> tuple[dict[str, Any], str]:
    """The results of the checks by their ids, and the whole report."""
    manifest = bay.service / "testbay.toml"
    text = manifest.read_text(encoding="utf-8")
    head, brace, rest = text.partition("[env]")
    manifest.write_text(head + brace + rest + CHECKS, encoding="utf-8")
    pathed = "PATHED_URL=$DATABASE_URL?options=-csearch_path%3Dpg_catalog"
    command = f"{pathed} '{sys.executable}' -m testbay check shop --phase post-deploy --json > report.json"
    bay.run("exec", "shop", "--", "sh", "-c", command)
    whole = (bay.project / "report.json").read_text(encoding="utf-8")
    return {one["check"]: one for one in json.loads(whole)["results"]}, whole


def test_servers_are_asked_and_judged(asked: tuple[dict[str, Any], str]) -> None:
    """Each by its own protocol; a query cannot change anything, and a password is shown nowhere."""
    found, whole = asked
    verdicts = {name: one["verdict"] for name, one in found.items()}

    assert verdicts == {
        "database": "pass",
        "database-is-only-read": "fail",
        "database-with-options": "pass",
        "database-without-rows": "pass",
        "database-that-waits": "fail",
        "cache": "pass",
        "messages": "pass",
        "nobody-answers": "fail",
        "job": "skip",
    }
    assert "it took the login, and the query did not end" in found["database-that-waits"]["said"]
    assert "read-only transaction" in found["database-is-only-read"]["said"]
    assert "postgresql://" not in whole
