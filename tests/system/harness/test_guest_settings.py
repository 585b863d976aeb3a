"""A stranger's settings of pytest and coverage.py count under `testbay run` as they do by hand."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from tests.system.fakes.guest import COMPOSE, MANIFEST, Guest, visiting

TESTBAY = Path(sys.executable).with_name("testbay")
APP = "def used() -> int:\n    return 1\n\n\ndef unused() -> int:\n    return 2\n"
TEST = "from app import used\n\n\ndef test_one(postgres):\n    assert used() == 1\n\n\ndef test_two():\n    pass\n"
PROJECT = {"app/__init__.py": APP, "tests/test_it.py": TEST}


def percent(out: str) -> str:
    """Of pytest-cov's own table."""
    return str(re.findall(r"(?m)^TOTAL .* (\d+%)$", out)[-1])


def test_coverage_is_the_projects_own(guest: Guest) -> None:
    """Its source, its reports, its least percentage: the closing line has its number, and only coverage is red."""
    ini = "[pytest]\naddopts = --cov=app --cov-report=xml --junitxml=out/junit.xml\n"
    rules = {"pytest.ini": ini, ".coveragerc": "[report]\nfail_under = 90\n", "testbay.toml": MANIFEST}
    guest.write(PROJECT | rules)

    run, hand = guest.run("run"), guest.pytest("-k", "two", "--cov-report=term")

    assert (run.code, hand.code) == (1, 1), run.out
    assert "❌ Coverage: 75% (the project's fail_under is 90%)" in run.lines
    assert percent(hand.out) == "50%"
    assert [line for line in run.lines if line.startswith("✅ Tests: 2 passed")] != []
    assert (guest.project / "coverage.xml").exists()
    assert (guest.project / "out/junit.xml").exists()


@pytest.mark.parametrize(
    ("name", "coverage"), [(b"a,b [1]", ["✅ Coverage: 89%"]), (b"caf\xe9", [])], ids=["comma", "latin-1"]
)
def test_coverage_in_a_folder_with_a_strange_name(tmp_path: Path, name: bytes, coverage: list[str]) -> None:
    """Where coverage.py itself cannot write the name, the tests run without it, and that is said."""
    with visiting(tmp_path / os.fsdecode(name), PROJECT | {"testbay.toml": MANIFEST}) as guest:
        done = guest.run("run")

    assert done.code == 0, done.out
    assert [line for line in done.lines if line.startswith("✅ Coverage")] == coverage
    assert ("note: no coverage: coverage.py cannot record this folder's path" in done.out) is not bool(coverage)


@pytest.mark.parametrize("how", ["manifest", "option", "addopts"])
def test_coverage_can_be_left_out(guest: Guest, how: str) -> None:
    """By the manifest, for one run, or by the project itself."""
    ini = "[pytest]\naddopts = -p no:cov\n" if how == "addopts" else "[pytest]\naddopts = --cov=app\n"
    manifest = MANIFEST + ('coverage = "off"\n' if how == "manifest" else "")
    guest.write(PROJECT | {"pytest.ini": ini, "testbay.toml": manifest})

    done = guest.run("run", *(["--no-cov"] if how == "option" else []))

    assert done.code == 0, done.out
    assert "Coverage" not in done.out
    assert "TOTAL" not in done.out


def test_child_that_is_not_the_service_is_not_measured(guest: Guest) -> None:
    """Measuring would slow it; one that is started with the lease's environment is the service."""
    text = """import os, subprocess, sys
ASK = [sys.executable, "-c", "import sys; print('coverage' in sys.modules)"]
def ask(env): return subprocess.run(ASK, env=env, capture_output=True, text=True, check=True).stdout.strip()
def test_children(bay):
    assert (ask(dict(os.environ)), ask(bay.env)) == ("False", "True")
"""
    guest.write({"tests/test_it.py": text, "testbay.toml": MANIFEST})

    done = guest.run("run")

    assert done.code == 0, done.out


def test_pytests_own_settings_stand(guest: Guest) -> None:
    """`testpaths`, `timeout` and `--tb` are the project's; the manifest says nothing of tests."""
    guest.write(PROJECT | {"spec/test_it.py": TEST, "testbay.toml": MANIFEST.replace('tests = "tests"\n', "")})
    guest.write({"pytest.ini": "[pytest]\ntestpaths = spec\ntimeout = 77\naddopts = --tb=line -p no:junitxml\n"})
    guest.write({"tests/test_it.py": ""})

    done = guest.run("run")

    facts = json.loads(guest.run_json())
    assert done.code == 0, done.out
    assert facts["planned"] == ["spec/test_it.py::test_one", "spec/test_it.py::test_two"]
    assert "timeout: 77.0s" in done.lines


def test_settings_beside_the_tests_do_not_replace_those_that_name_the_folder(guest: Guest) -> None:
    """Plain `pytest` takes them from the file with `testpaths`, also where the manifest names the same folder."""
    guest.write(
        PROJECT | {"pytest.ini": "[pytest]\ntestpaths = tests\n", "tests/pytest.ini": "[pytest]\naddopts = --nope\n"}
    )

    done = guest.run("run", "--no-cov")

    assert done.code == 0, done.out
    assert json.loads(guest.run_json())["planned"] == ["tests/test_it.py::test_one", "tests/test_it.py::test_two"]


def test_what_failed_last_runs_alone(guest: Guest) -> None:
    """With `--lf` the second run plans, runs and counts what the first one left red, as pytest by hand does."""
    guest.write({"tests/test_it.py": "def test_red():\n    assert 1 == 2\n\n\ndef test_green():\n    pass\n"})

    first, second = guest.run("run", "--no-cov"), guest.run("run", "--no-cov", "--", "--lf")

    facts = json.loads(guest.run_json())
    assert (first.code, second.code) == (1, 1), second.out
    assert (facts["planned"], facts["counts"]) == (["tests/test_it.py::test_red"], {"failed": 1})
    assert [line for line in second.lines if line.startswith("❌ Tests: 1 failed in")] != [], second.out


@pytest.mark.parametrize(
    "words",
    [
        ["--", "tests/test_it.py::test_two"],
        ["tests/test_it.py::test_two"],
        ["--", "-k", "two"],
        ["-k", "two"],
        ["guest", "--", "-k", "two", "-x"],
    ],
)
def test_words_for_pytest_narrow_the_run(guest: Guest, words: list[str]) -> None:
    """With or without the service's name, with or without dashes."""
    guest.write(PROJECT)

    done = guest.run("run", *words)

    assert done.code == 0, done.out
    assert json.loads(guest.run_json())["planned"] == ["tests/test_it.py::test_two"]


def test_command_needs_no_name(guest: Guest) -> None:
    """`exec` and `open` take what stands behind the dashes."""
    guest.write({"tests/test_it.py": "def test_red(postgres):\n    assert 0\n"})
    guest.pytest()

    done = [guest.run(verb, "--", "sh", "-c", "echo $PGDATABASE") for verb in ("exec", "open")]

    assert [(one.code, one.lines[-1]) for one in done] == [(0, "app"), (0, "app")]


def test_manifest_may_lie_below_the_compose_file(guest: Guest) -> None:
    """`backend/` has the manifest, the root the compose file: from both folders, and by an id as seen from either."""
    moved = {f"backend/{name}": text for name, text in (PROJECT | {"testbay.toml": MANIFEST}).items()}
    guest.write(moved | {"testbay.toml": "", "backend/migrations/1_items.sql": "CREATE TABLE items ();\n"})

    done = [
        guest.run("run", "--", "backend/tests/test_it.py::test_one"),
        guest.type(f"cd backend && {TESTBAY} run -- tests/test_it.py::test_one"),
    ]

    assert [one.code for one in done] == [0, 0], done[0].out + done[1].out


def test_modules_of_the_project_hide_nothing_of_pythons(guest: Guest) -> None:
    """A `signal.py` or a package `redis` at the root is the project's own affair."""
    strange = {
        "signal.py": "raise ImportError('not this one')\n",
        "redis/__init__.py": "raise ImportError('nor this')\n",
        "pytest.ini": "[pytest]\naddopts = -p used\n",  # a plugin beside them is found, as by `python -m pytest`
        "used.py": "import pytest\n@pytest.fixture\ndef one():\n    return 1\n",
    }
    text = "from app import used\ndef test_it(postgres, redis, one):\n    assert redis.ping() and used() == one\n"
    manifest = MANIFEST.replace('["postgres"]', '["postgres", "dragonfly"]')
    guest.write(strange | PROJECT | {"tests/test_it.py": text, "testbay.toml": manifest})

    done = guest.type(f"{TESTBAY} run")

    assert (done.code, "no test connected" in done.out) == (0, False), done.out


def test_address_that_the_suite_replaces_is_named(guest: Guest) -> None:
    """A green run would say that PostgreSQL runs, and its tests would have used another database."""
    conftest = "import os\nos.environ['DATABASE_URL'] = 'sqlite:///app.db'\n"
    guest.write({"tests/conftest.py": conftest, "tests/test_it.py": "def test_one():\n    pass\n"})

    done = guest.run("run")

    said = "note: DATABASE_URL leads to sqlite:// when the tests begin, not to this run's server: the suite replaced it"
    assert (done.code, said in [line.strip() for line in done.lines]) == (0, True), done.out


@pytest.mark.parametrize("missed", [(), ("PostgreSQL",), ("Redis", "NATS")], ids=["none", "one", "two"])
def test_servers_that_no_test_connected_to_are_named(guest: Guest, missed: tuple[str, ...]) -> None:
    """A green run says that its servers run; tests whose settings lead elsewhere have met other ones."""
    urls = {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL", "NATS": "NATS_URL"}
    text = f"""import asyncio, os
import nats, psycopg, redis

def test_own_clients():
    for title in {[title for title in urls if title not in missed]}:
        if title == "PostgreSQL":
            psycopg.connect(os.environ["DATABASE_URL"]).close()
        elif title == "Redis":
            redis.from_url(os.environ["REDIS_URL"]).ping()
        else:
            asyncio.run(talk())

async def talk():
    await (await nats.connect(os.environ["NATS_URL"])).close()
"""
    manifest = MANIFEST.replace('["postgres"]', '["postgres", "dragonfly", "nats"]')
    compose = COMPOSE + '  bus: {image: "nats:2", command: [-js], ports: ["4222"]}\n'
    guest.write({"tests/test_it.py": text, "testbay.toml": manifest, "docker-compose.test.yml": compose})

    done = guest.run("run")

    notes = re.findall(r"note: no test connected to (\w+) on port \d+: .*\((\w+) has", done.out)
    assert (done.code, notes) == (0, [(title, urls[title]) for title in missed]), done.out
