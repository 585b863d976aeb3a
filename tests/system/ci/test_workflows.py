"""The real workflow files, all three tiers of them, on real servers; the secret comes from Parameter Store by OIDC."""

import hashlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.stepper.runner import WorkflowRun
from tests.system.conftest import REPOSITORY, Bay
from tests.system.fakes.cloud import CANARY, Cloud
from tests.system.fakes.forge import Forge
from tests.system.fakes.tiers import TIER2

LIVE, GENERAL = "agent-executor-integration-tests.yml", "integration-tests.yml"
SECRET = '[secrets]\nOPENAI_API_KEY = "/shop/test/key"\n'
KNOWS = """
import hashlib, os, psycopg

def test_the_key_is_there():
    assert hashlib.sha256(os.environ["OPENAI_API_KEY"].encode()).hexdigest() == "DIGEST"

def test_nothing_leads_to_it():
    assert [name for name in os.environ if name.startswith(("AWS_", "ACTIONS_"))] == []

def test_the_database_is_real():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT * FROM items").fetchall() == []
""".replace("DIGEST", hashlib.sha256(CANARY.encode()).hexdigest())
LEAKS = """
import base64, os, pathlib

KEY = os.environ["OPENAI_API_KEY"]

def test_printed(capfd):
    with capfd.disabled():
        print(KEY)

def test_compared():
    assert KEY == "another"

def test_captured():
    print(KEY.encode().hex())
    assert not KEY

def test_stored(postgres, dragonfly):
    postgres.execute("INSERT INTO items (name) VALUES (%s)", [KEY])
    dragonfly.set("key", KEY)
    raise AssertionError

def test_written():
    folder = pathlib.Path(os.environ["TESTBAY_RUN_DIR"])
    (folder / "notes.txt").write_bytes(base64.b64encode(b"x" + KEY.encode()))
    (folder / ".hidden").write_text(KEY)

def test_handed_on():
    pathlib.Path(os.environ["GITHUB_STEP_SUMMARY"]).write_text(KEY[::-1])
    pathlib.Path(os.environ["GITHUB_ENV"]).write_text("KEY=" + KEY.encode().hex())
"""
GREEN = "def test_green():\n    pass\n\ndef test_too():\n    pass\n"
LEFT_OUT = {"list": "success", "integration": "skipped", "merge": "skipped", "required-checks": "success"}
ALL_GREEN = dict.fromkeys(LEFT_OUT, "success")

# Each takes away one of the guards, and where the secret can be read then.
MUTANTS = {
    "no-escaping": (
        "from testbay.output import Voice\nVoice.mask = lambda _, value: print(f'::add-mask::{value}', flush=True)",
        {"log"},
    ),
    "no-scan": (
        "from testbay.masking import Scan\nScan.finds = lambda *_: False",
        {"artifacts", "summary", "environment", "disk"},
    ),
    "mask-too-late": (
        """
import atexit
from testbay.output import Voice
mask = Voice.mask
Voice.mask = lambda *call: atexit.register(mask, *call)
""",
        {"log"},
    ),
}


@pytest.fixture
def forge(tmp_path: Path, cloud: Cloud) -> Iterator[Forge]:
    """A repository with the real tiers; at the end nothing may be left of what its workflows started."""
    forge = Forge(tmp_path, cloud)
    forge.take(*(f".github/workflows/{name}" for name in (LIVE, GENERAL)), "docker-compose.test.yml")
    forge.take(*(f"scripts/ci/{name}" for name in TIER2))
    forge.bootstrap()
    bay = Bay(tmp_path, tmp_path / "cache")
    bay.name = "nobody's"  # others on this machine have services of the same name
    yield forge
    assert bay.left() == []


@pytest.mark.timeout(300)  # the first containers of a machine take their time
def test_a_secret_goes_through_the_whole_workflow_and_can_be_read_nowhere(
    forge: Forge, cloud: Cloud, engine: str
) -> None:
    """Fetched by OIDC, known to the tests, in no log, summary, environment, report or artifact."""
    forge.use(engine)
    forge.service("agent_executor", manifest=SECRET, tests=KNOWS)
    forge.commit()

    run = forge.run(LIVE)

    assert run.results == ALL_GREEN, run.log
    assert sorted(run.artifacts) == ["runs-agent_executor", "runs-agent_executor-1-of-1"]
    assert cloud.calls == ["token", "AssumeRoleWithWebIdentity", "GetParameters"]
    assert [bool(job.summary) for job in run.jobs] == [False, True, True, False]
    assert forge.leaks(run, CANARY) == set()


def test_a_suite_that_gives_its_secret_away_is_red_and_gives_nothing_away(forge: Forge) -> None:
    """Printed, compared, stored, written, handed on: masked or removed, said, and the other reports still go up."""
    forge.use("embedded")
    forge.service("agent_executor", manifest=SECRET, tests=LEAKS)
    forge.commit()

    run = forge.run(LIVE)

    assert run.results == {**ALL_GREEN, "integration": "failure", "merge": "failure", "required-checks": "failure"}
    assert "error: a secret was found in 4 of the reports: removed" in run.jobs[1].output.annotations
    assert {"junit.xml", "coverage.xml", "run.json", "postgres.sql", "dragonfly.jsonl"} <= uploaded(run)
    assert forge.leaks(run, CANARY) == set()


@pytest.mark.slow
@pytest.mark.parametrize(("mutation", "where"), MUTANTS.values(), ids=MUTANTS)
def test_without_one_of_the_guards_the_leak_is_seen(forge: Forge, mutation: str, where: set[str]) -> None:
    """The proof above can fail: each guard that is taken away shows up where it stood."""
    forge.use("embedded")
    forge.bootstrap(mutation)
    forge.service("agent_executor", manifest=SECRET, tests=LEAKS)
    forge.commit()

    assert forge.leaks(forge.run(LIVE), CANARY) == where


def uploaded(run: WorkflowRun) -> set[str]:
    """The names of all files in artifacts."""
    return {file.rpartition("/")[2] for files in run.artifacts.values() for file in files}


def test_a_new_service_is_tested_without_a_line_of_yaml(forge: Forge) -> None:
    """A folder in services/ is all: a push that adds one tests just that one, in as many shards as it wants."""
    forge.use("embedded")
    forge.service("billing", tests=GREEN)
    before = forge.commit()
    forge.service("orders", manifest="shards = 2\n", tests=GREEN)
    forge.commit()

    run = forge.run(GENERAL, since=before)

    assert run.results == ALL_GREEN, run.log
    assert [job.name for job in run.jobs if job.job.id == "integration"] == ["orders (1/2)", "orders (2/2)"]
    assert "Shards: 2 of 2" in run.jobs[-2].log
    assert all(path.startswith("services/orders/") for path in forge.changed(before))


def test_started_by_hand_every_service_is_tested(forge: Forge) -> None:
    """And merged each for itself."""
    forge.use("embedded")
    forge.service("billing", tests=GREEN)
    forge.service("orders", tests=GREEN)
    forge.commit()

    run = forge.run(GENERAL)

    assert run.results == ALL_GREEN, run.log
    assert [job.name for job in run.jobs][1:3] == ["billing (1/1)", "orders (1/1)"]


def test_a_push_that_concerns_no_service_tests_none_and_is_green(forge: Forge) -> None:
    """A change in a page: an empty matrix is no failure, and the required check says so."""
    forge.service("billing", tests=GREEN)
    before = forge.commit()
    (forge.root / "README.md").write_text("A page.", encoding="utf-8")
    forge.commit()

    assert forge.run(GENERAL, since=before).results == LEFT_OUT


def test_a_failing_service_turns_the_required_check_red(forge: Forge) -> None:
    """The other services still run, and every report is uploaded."""
    forge.use("embedded")
    forge.service("billing", tests="def test_red():\n    raise AssertionError\n")
    forge.service("orders", tests=GREEN)
    forge.commit()

    run = forge.run(GENERAL)

    assert [job.result for job in run.jobs] == ["success", "failure", "success", "failure", "failure"]
    assert sorted(run.artifacts) == ["merged-runs", "runs-billing-1-of-1", "runs-orders-1-of-1"]


def test_this_repository_s_own_checks_call_its_targets(forge: Forge) -> None:
    """ci.yml, with targets that only say their names: each is called, and the half on containers is asked for."""
    forge.take(".github/workflows/ci.yml")
    says = "mkdir -p .testbay/runs && env | grep ^TESTBAY_ | tee .testbay/runs/said; echo $@ $(TESTBAY_ENGINE)"
    (forge.root / "Makefile").write_text(f"lint test-all integration-test: ; @{says}\n", encoding="utf-8")
    forge.commit()

    run = forge.run("ci.yml")

    assert run.results == dict.fromkeys(["lint", "embedded", "test", "required-checks"], "success"), run.log
    said = {job.job.id: job.said[-1] for job in run.jobs[:-1]}
    assert said == {"lint": "lint", "embedded": "integration-test embedded", "test": "test-all"}
    assert run.artifacts.keys() == {f"runs-embedded-3.{minor}" for minor in (11, 12, 13, 14)}
    assert "TESTBAY_REQUIRE_DOCKER=1" in run.job("tests of testbay (1/4)").said


@pytest.mark.slow
@pytest.mark.timeout(400)  # an environment is made, and agent_executor's whole suite runs
def test_agent_executor_goes_through_its_workflow_with_a_key(tmp_path: Path, cloud: Cloud) -> None:
    """The real repository, nothing of it replaced: set up, its key fetched, every test green, one of them live.

    What plays the model's provider is agent_executor's own replay server, on loopback.
    """
    key = f"sk-{secrets.token_urlsafe(40)}"
    path = "/zerotouch/prod/agent-executor/openai_api_key"
    cloud.admin("ssm").put_parameter(Name=path, Value=key, Type="SecureString", Overwrite=True)
    forge = Forge(tmp_path, cloud)
    forge.take_all()
    forge.use("embedded")
    forge.commit()

    with replay_server() as forge.environ["OPENAI_BASE_URL"]:
        run = forge.run(LIVE)

    assert run.results == ALL_GREEN, run.log
    assert "LLM: live" in run.log
    assert forge.leaks(run, key) == set()


@contextmanager
def replay_server() -> Iterator[str]:
    """Where a model answers."""
    argv = [sys.executable, str(REPOSITORY / "services/agent_executor/tests/replay_server.py"), "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        yield child.stdout.readline().split()[-1]
        child.terminate()
