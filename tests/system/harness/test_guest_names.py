"""Names as strangers have them: of variables, of services, of who holds a port."""

import os
import secrets
import socket
import subprocess

import pytest
from tests.system.fakes.guest import MANIFEST, Guest

NAMED = (
    MANIFEST.replace('"guest"', '"my-shop"').replace('["postgres"]', '["postgres", "redis", "nats"]')
    + 'exports = ["PG", "DB", "REDIS", "NATS"]\n'
)
COMPOSE = """
services:
  db: {image: "postgres:18", environment: {POSTGRES_PASSWORD: app}, ports: ["5432"]}
  cache: {image: "redis:7", command: "redis-server --requirepass hush", ports: ["6379"]}
  bus: {image: "nats:2"}
"""
TEST = """import os, subprocess, psycopg, redis
SEEN = {name: os.environ[name] for name in ("PGPORT", "REDIS_HOST", "DB_NAME")}
def ask():
    with psycopg.connect("") as one:
        return one.info.dbname, one.execute("SELECT count(*) FROM items").fetchone()
def keys():
    names = {name: os.environ[f"REDIS_{name.upper()}"] for name in ("host", "port", "password", "db")}
    return redis.Redis(**names).dbsize()
def test_whole_run():
    assert (ask()[1], keys(), os.environ["DB_NAME"]) == ((0,), 0, SEEN["DB_NAME"])
def test_lease(bay, service=None):
    assert (ask(), keys()) == ((bay.postgres.db, (0,)), 0)
    assert os.environ["NATS_PORT"] == str(bay.nats.port)
    assert subprocess.check_output(["psql", "-XAtc", "SELECT 1"], env=bay.env) == b"1\\n"
"""


def test_variables_by_convention_and_a_name_with_a_dash(guest: Guest) -> None:
    """Tests that read them connect, for the whole run and on a lease."""
    guest.write({"testbay.toml": NAMED, "docker-compose.test.yml": COMPOSE, "tests/test_it.py": TEST})

    done = guest.run("run", "my-shop", PGPORT="1", PGOPTIONS="-c search_path=prod")

    assert done.code == 0, done.out


def test_holder_of_a_taken_port_is_named(guest: Guest) -> None:
    """A process, or a stack of testbay with what ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        guest.write({"tests/test_it.py": TEST, "testbay.toml": MANIFEST + f"ports = {{ postgres = {port} }}\n"})
        first = guest.run("exec", "--", "true")
    guest.run("up", "--keep")
    second = guest.run("run", "guest", "--cold", TESTBAY_READY_TIMEOUT="61")
    guest.run("down")

    assert (first.code, "  why:      held by python" in first.out) == (11, True), first.out
    assert (second.code, f"of {guest.project} (testbay down guest-" in second.out) == (11, True), second.out


@pytest.mark.compose
def test_container_that_holds_a_taken_port_is_named(guest: Guest) -> None:
    """By its name and image, not the program of Docker's that listens for it."""
    name, image = f"holder-of-a-port-{secrets.token_hex(4)}", os.environ.get("POSTGRES_IMAGE", "postgres:18")
    docker(
        guest, "run", "--detach", "--name", name, "--publish", "127.0.0.1::6379", "--entrypoint", "sleep", image, "600"
    )
    try:
        port = docker(guest, "port", name, "6379").rpartition(":")[2].strip()
        guest.write({"tests/test_it.py": TEST, "testbay.toml": MANIFEST + f"ports = {{ postgres = {port} }}\n"})
        done = guest.run("exec", "--", "true")
    finally:
        docker(guest, "rm", "--force", name)

    assert (done.code, f"  why:      held by container {name} ({image})" in done.lines) == (11, True), done.out


def docker(guest: Guest, *words: str) -> str:
    return subprocess.run(["docker", *words], env=guest.environ, check=True, capture_output=True, text=True).stdout
