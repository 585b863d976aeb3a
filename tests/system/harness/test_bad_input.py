"""Bad input gets a clear error and loses nothing: what happened, why, what to do, and the stack is gone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.system.conftest import Bay, read_until
from tests.system.fakes.deployment import deployed

JOURNEY = """
[target.here]
base_url = "http://127.0.0.1:${PORT}"
writes = true
[[check]]
id = "a-thing"
kind = "journey"
writes = true
[[check.step]]
post = "/things"
expect = ["status == 201"]
capture = { thing = "json.id" }
[[check.step]]
get = "/things/{thing}"
expect = ["status == 200"]
[[check.step]]
get = "/things/{thing}"
expect = ["json.id == thing"]
"""


def test_unknown_manifest_key_names_the_nearest(bay: Bay) -> None:
    """A misspelt key is refused before anything starts, with the key that was probably meant."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text("migratoins = 'migrations'\n" + manifest.read_text())

    done = bay.run("run", "shop")

    assert done.code == 10
    assert f"error: {manifest}: unknown key 'migratoins' (did you mean 'migrations'?)" in done.lines


def test_variable_that_nothing_fills_in_is_found_before_the_start(bay: Bay) -> None:
    """No server starts for it, and the migrations are not blamed."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(manifest.read_text().replace("[env]", '[env]\nCACHE = "{postgres.prot}"'))

    done = bay.run("run", "shop")

    assert (done.code, "error: env.CACHE: {postgres.prot} is nothing testbay can fill in" in done.lines) == (10, True)
    assert [line for line in done.lines if line.startswith(("==> ", "❌ "))] == ["❌ Tests: did not run"]


def test_unknown_service_names_the_known(bay: Bay) -> None:
    """A misspelt service is refused with the nearest name."""
    done = bay.run("run", "shpo")

    assert (done.code, done.lines[0]) == (10, "error: unknown service 'shpo' (did you mean 'shop'?)")


def test_sql_error_shows_file_line_and_statement(bay: Bay) -> None:
    """An error in migration 2 of 3 names file, line and statement; the third is not applied; exit code 13."""
    (bay.service / "migrations" / "0002_stock.sql").write_text("SELECT 1;\n\nALTER TABLE itms ADD COLUMN x int;\n")
    (bay.service / "migrations" / "0003_more.sql").write_text("SELECT 3;\n")

    done = bay.run("run", "shop")

    assert done.code == 13
    assert 'error: migration 0002_stock.sql failed at line 3: relation "itms" does not exist' in done.lines
    assert "STATEMENT:  ALTER TABLE itms ADD COLUMN x int;" in done.out
    assert "❌ Migrations: failed" in done.lines
    assert "❌ Tests: did not run" in done.lines
    assert "0003_more.sql" not in done.out


def test_folder_without_migrations_is_an_error(bay: Bay) -> None:
    """A manifest that names a folder of migrations means that there are some."""
    for file in (bay.service / "migrations").iterdir():
        file.unlink()

    done = bay.run("run", "shop")

    assert done.code == 13
    assert f"error: {bay.service / 'migrations'} holds no migration" in done.lines


def test_missing_number_is_said(bay: Bay) -> None:
    """A gap in 1, 2, 3 … is worth a line: somebody may have forgotten to commit a file."""
    (bay.service / "migrations" / "0004_later.sql").write_text("SELECT 4;\n")

    done = bay.run("run", "shop")

    assert done.code == 0
    assert "    note: no migration has number 3" in done.lines


def test_taken_port_means_the_next_one(bay: Bay) -> None:
    """A port somebody holds is no failure: the next free one is used, and that is said."""
    with _listener() as (taken, _):
        done = bay.run("run", "shop", POSTGRES_PORT=str(taken))

    assert done.code == 0
    assert f", as port {taken} is taken" in done.out


def test_fixed_port_that_is_taken_names_its_holder(bay: Bay) -> None:
    """A port the manifest insists on is an error when taken, naming the program that holds it."""
    with _listener() as (taken, _):
        manifest = bay.service / "testbay.toml"
        manifest.write_text(f"ports = {{ dragonfly = {taken} }}\n" + manifest.read_text())
        done = bay.run("run", "shop")

    assert done.code == 11
    assert f"error: dragonfly: port {taken}, which the manifest asks for, is taken" in done.lines
    assert f"(pid {os.getpid()}, user " in done.out


class _listener:  # noqa: N801 - reads as the function it is used as
    """A port of ours that is taken while the context lasts."""

    def __enter__(self) -> tuple[int, socket.socket]:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return self._socket.getsockname()[1], self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_cache_that_cannot_be_written(bay: Bay) -> None:
    """A cache folder that cannot be made is an error with the variable that names another."""
    blocked = bay.cache.parent / "file"
    blocked.write_text("")

    done = bay.run("run", "shop", TESTBAY_CACHE_DIR=str(blocked / "cache"))

    assert done.code == 11
    assert f"error: {blocked / 'cache'}: cannot keep testbay's files here" in done.lines
    assert "TESTBAY_CACHE_DIR=" in done.out


def test_silent_replay_names_who_what_and_how_long(bay: Bay) -> None:
    """A stand-in that never gets ready is told with its name, the time waited and the last answer."""
    manifest = bay.service / "testbay.toml"
    replay = '[replay]\nsecret = "OPENAI_API_KEY"\nstart = "python -c \'import time; time.sleep(60)\'"\n'
    manifest.write_text(manifest.read_text() + replay)

    done = bay.run("run", "shop", TESTBAY_READY_TIMEOUT="0.5", OPENAI_API_KEY="")

    assert done.code == 12
    assert "error: replay not ready after 0.5 s; the last answer of replay was: " in done.out
    assert "refused" in done.out


def test_missing_secret_in_ci(bay: Bay) -> None:
    """In CI a missing key is exit code 14, unless the replay is asked for by name."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(manifest.read_text() + '[secrets]\nOPENAI_API_KEY = "/prod/openai"\n')

    done = bay.run("run", "shop", CI="true", OPENAI_API_KEY="")

    assert done.code == 14
    assert "error: OPENAI_API_KEY is not set" in done.lines


def test_a_service_that_is_left_out_is_said(bay: Bay) -> None:
    """A compose service testbay has no room for is named before anything starts."""
    compose = bay.project / "docker-compose.test.yml"
    compose.write_text(compose.read_text() + "\n  bucket:\n    image: minio/minio:latest\n")

    done = bay.run("run", "shop")

    assert done.code == 0
    assert "    note: left out: bucket (minio/minio:latest)" in done.lines


STAGES = {
    "start": ("==> Start ", ""),
    "migrate": ("==> Apply migrations", "SELECT pg_sleep(20);"),
    "test": ("test session starts", ""),
    "teardown": ("==> Tear down", ""),
}


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="SIGINT"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_at_every_stage_leaves_nothing(bay: Bay, stage: str, number: int) -> None:
    """Ctrl-C or SIGTERM in any step ends with exit code 130 (a teardown under way is finished) and leaves nothing."""
    mark, slow_sql = STAGES[stage]
    (bay.service / "migrations" / "0003_slow.sql").write_text(slow_sql)
    slow = "import time\n\n\ndef test_slow():\n    time.sleep(60)\n"
    bay.tests(slow if stage == "test" else "def test_quick():\n    pass\n")

    child = bay.start("run", "shop")
    seen = read_until(child, mark)
    child.send_signal(number)
    rest, _ = child.communicate(timeout=30)

    assert child.returncode == (0 if stage == "teardown" else 130), seen + rest
    assert "Migrations: failed" not in rest
    assert bay.left() == []


def test_ordinary_user_needs_no_privilege(bay: Bay, tmp_path: Path) -> None:
    """The same run passes for a user who is not root."""
    if os.geteuid() != 0:
        return  # then every other test here is that test
    shutil.chown(tmp_path, "nobody")
    for folder, _, files in os.walk(tmp_path):
        for name in (".", *files):
            shutil.chown(Path(folder) / name, "nobody")
    # The capability only lets `nobody` pass through root's home to the interpreter; PostgreSQL sees an ordinary user.
    become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=+dac_read_search"]
    argv = [*become, "--ambient-caps=+dac_read_search", sys.executable, "-m", "testbay", "run", "shop"]

    done = subprocess.run(argv, cwd=bay.project, env=bay.environ, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_damaged_record_of_a_dead_stack_is_collected(bay: Bay) -> None:
    """A half-written record does not stop anybody: the folder goes."""
    home = bay.cache / "stacks" / "shop-dead00"
    home.mkdir(parents=True)
    (home / "stack.json").write_text('{"engine": "embed')

    done = bay.run("gc")

    assert (done.code, done.out, home.exists()) == (0, "collected shop-dead00\n", False)


def test_closed_terminal_ends_everything(bay: Bay) -> None:
    """SIGHUP, a terminal that is closed, is an interruption like Ctrl-C; the record is complete and says why."""
    bay.tests("import time\n\n\ndef test_slow():\n    time.sleep(60)\n")
    child = bay.start("run", "shop")
    read_until(child, "test session starts")
    began = time.monotonic()
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=30)

    record = json.loads(bay.run_json())
    assert (child.returncode, record["exit_code"], record["error"]["what"]) == (130, 130, "interrupted by SIGHUP")
    assert [step["outcome"] for step in record["steps"]] == ["ok", "ok", "failed", "ok"]
    assert bay.left() == []
    assert time.monotonic() - began < 30  # it ended by the signal, not by the test's own end


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            JOURNEY.replace("== thing", "== thng"),
            "check.0: step 3: 'json.id == thng': unknown name 'thng' (did you mean ",
        ),
        (JOURNEY + JOURNEY.partition("true\n")[2], "two checks have the id 'a-thing'"),
    ],
)
def test_a_mistake_in_the_checks_is_found_before_anybody_is_asked(bay: Bay, text: str, what: str) -> None:
    """Step 3 is read before step 1 is taken."""
    file = bay.service / "testbay.toml"
    file.write_text(f'service = "shop"\n{text}', encoding="utf-8")
    with deployed() as deployment:
        done = bay.run("check", "--phase", "post-deploy", PORT=str(deployment.port))

    assert (done.code, deployment.asked) == (10, [])
    assert done.lines[0].startswith(f"error: {file}: {what}")
