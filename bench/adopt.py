"""What a foreign suite costs under `testbay run`: 300 tests of an ordinary FastAPI project, against doing it by hand.

Usage: .venv/bin/python bench/adopt.py [--rounds 3] [--tests 300]

By hand is what the project's team does: a server that runs already, migrated, and plain pytest; also with pytest-cov
(what coverage costs anybody). All take turns in one run on one machine; the table shows medians. The server that runs
already is that of `testbay up` with a cache of its own, so that `testbay run` does not find it.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(sys.executable).parent
COMPOSE = """services:
  db:
    image: postgres:18
    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: app, POSTGRES_DB: app}
    ports: ["5432"]
"""
APP = """import os
from collections.abc import Iterator
from typing import Annotated

import psycopg
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    name: str
    price: float = 1.0


def connection() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"]) as opened:
        yield opened


Opened = Annotated[psycopg.Connection, Depends(connection)]


@app.post("/items", status_code=201)
def create(item: Item, opened: Opened) -> dict:
    insert = "INSERT INTO items (name, price) VALUES (%s, %s) RETURNING id"
    return {"id": opened.execute(insert, [item.name, item.price]).fetchone()[0]}


@app.get("/items/{number}")
def read(number: int, opened: Opened) -> Item:
    row = opened.execute("SELECT name, price FROM items WHERE id = %s", [number]).fetchone()
    if row is None:
        raise HTTPException(404)
    return Item(name=row[0], price=row[1])


@app.get("/items")
def total(opened: Opened) -> dict:
    rows = opened.execute("SELECT price FROM items").fetchall()
    return {"count": len(rows), "sum": sum(row[0] for row in rows)}
"""
CONFTEST = """import os

import psycopg
import pytest
from fastapi.testclient import TestClient
from shop.app import app


@pytest.fixture(scope="session")
def client():
    with TestClient(app) as opened:
        yield opened


@pytest.fixture(autouse=True)
def clean():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as opened:
        opened.execute("TRUNCATE items RESTART IDENTITY")
"""
TESTS = """import pytest


@pytest.mark.parametrize("number", range({third}))
def test_created(client, number):
    made = client.post("/items", json={{"name": f"tea {{number}}", "price": number}}).json()["id"]
    assert client.get(f"/items/{{made}}").json() == {{"name": f"tea {{number}}", "price": float(number)}}


@pytest.mark.parametrize("number", range({third}))
def test_summed(client, number):
    for price in range(number % 7):
        client.post("/items", json={{"name": "tea", "price": price}})
    assert client.get("/items").json()["count"] == number % 7


@pytest.mark.parametrize("number", range({third}))
def test_missing(client, number):
    assert client.get(f"/items/{{number + 1}}").status_code == 404
"""
MANIFEST = 'service = "shop"\nneeds = ["postgres"]\nmigrations = "migrations"\ntests = "tests"\n'
SETTINGS = '[tool.pytest.ini_options]\npythonpath = ["src"]\n'


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns each contestant gets (default 3)")
    parser.add_argument("--tests", type=int, default=300, help="tests of the suite (default 300)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="testbay-adopt-") as folder:
        project = made(Path(folder) / "shop", arguments.tests // 3)
        # PYTHON: where no bytecode may be kept, each process of a checkout would compile the product anew.
        foreign = ("TESTBAY_", "PYTEST_", "PYTHON", "COV", "GITHUB_", "PG")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environ |= {"TESTBAY_CACHE_DIR": f"{folder}/cache", "TESTBAY_ENGINE": "embedded"}
        call(project, environ, "testbay", "run")  # makes the template, and Python's bytecode
        measure(project, environ, arguments.rounds)


def made(project: Path, third: int) -> Path:
    """Write the project."""
    files = {
        "docker-compose.test.yml": COMPOSE,
        "testbay.toml": MANIFEST,
        "pyproject.toml": SETTINGS,
        "migrations/1_items.sql": "CREATE TABLE items (id serial PRIMARY KEY, name text, price float);\n",
        "src/shop/__init__.py": "",
        "src/shop/app.py": APP,
        "tests/conftest.py": CONFTEST,
        "tests/test_items.py": TESTS.format(third=third),
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    return project


def measure(project: Path, environ: dict[str, str], rounds: int) -> None:
    """Let everyone take turns, then tell the medians."""
    server = environ | {"TESTBAY_CACHE_DIR": f"{project.parent}/plain"}  # `testbay run` is not to find it
    up = [HERE / "testbay", "up", "--keep"]
    exported = subprocess.run(up, cwd=project, env=server, check=True, capture_output=True, text=True).stdout
    url = re.findall(r"DATABASE_URL='?([^'\n]+)", exported)[0]
    by_hand = environ | {"DATABASE_URL": url}
    contestants: dict[str, Callable[[], float]] = {
        "by hand: plain servers, plain pytest": lambda: call(project, by_hand, *_PLAIN),
        "testbay run --no-cov": lambda: call(project, environ, "testbay", "run", "--no-cov"),
        "testbay run, with coverage": lambda: call(project, environ, "testbay", "run"),
        "by hand, with pytest-cov": lambda: call(project, by_hand, *_PLAIN, "--cov=src", "--cov-report=xml"),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for _ in range(rounds):
            for name, run in contestants.items():
                times[name].append(run())
    finally:
        subprocess.run([HERE / "testbay", "down"], cwd=project, env=server, check=True, capture_output=True)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    floor = medians["by hand: plain servers, plain pytest"]
    targets = {"testbay run --no-cov": "<= 1.05x", "testbay run, with coverage": "<= 1.25x"}
    for name, seconds in medians.items():
        print(f"{name:<40} {seconds:7.2f} s {seconds / floor:6.2f}x   {targets.get(name, '')}")


_PLAIN = ("pytest", "-q", "-p", "no:testbay", "tests")


def call(project: Path, environ: dict[str, str], *words: str) -> float:
    """Seconds of a command that has to pass."""
    began = time.perf_counter()
    argv = [str(HERE / words[0]), *words[1:]]
    # Linux shares the processors out by session, and `testbay run` gives pytest one of its own: so has everyone here.
    done = subprocess.run(
        argv, cwd=project, env=environ, capture_output=True, text=True, check=False, start_new_session=True
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return seconds


if __name__ == "__main__":
    main()
