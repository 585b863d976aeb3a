"""One contract, every engine: the same tests on native servers and on containers."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from tests.system.conftest import REPOSITORY, Bay, read_until

SLOW_TEST = "import time\n\n\ndef test_slow():\n    time.sleep(60)\n"


@pytest.fixture
def stack(bay: Bay, engine: str) -> Bay:
    """A project whose calls all ask for this engine."""
    bay.use(engine)
    return bay


def test_run_is_green_and_says_the_engine(stack: Bay, engine: str) -> None:
    """The same service passes the same tests; the record names the engine and why; what each server said is kept."""
    done = stack.run("run", "shop")

    record = json.loads(stack.run_json())
    logs = max((stack.project / ".testbay" / "runs").iterdir()) / "logs"
    said = {log.stem: log.read_text(errors="replace") for log in logs.iterdir()}
    assert (done.code, record["engine"], record["engine_reason"].split(":")[0]) == (0, engine, "asked for")
    assert [line.split(" in ")[0] for line in done.lines if "Tests:" in line] == ["✅ Tests: 4 passed"]
    assert "database system is ready to accept connections" in said["postgres"]
    assert "Server is ready" in said["nats"]
    assert re.search("Ready to accept connections|AcceptServer", said["dragonfly"])


def test_settings_and_order_are_the_same(stack: Bay) -> None:
    """What the compose file sets is what the server says, and text sorts alike, on either engine."""
    compose = (REPOSITORY / "docker-compose.test.yml").read_text()
    wanted = dict(re.findall(r"- (\w+)=(off|on|\d+)$", compose, re.MULTILINE))
    query = " UNION ALL ".join(f"SELECT '{n}', current_setting('{n}')" for n in wanted)
    query += " UNION ALL SELECT 'order', string_agg(t, '' ORDER BY t) FROM unnest(ARRAY['b', 'a', 'B', 'ä', '_']) t"
    done = stack.run("exec", "shop", "--", "sh", "-c", f'psql "$DATABASE_URL" -At -F = -c "{query}"')

    wanted["order"] = "B_abä"
    said = dict(line.split("=") for line in done.lines if line.split("=")[0] in wanted)
    assert {"fsync", "synchronous_commit", "full_page_writes"} <= wanted.keys()
    assert said == wanted


def test_server_that_refuses_a_setting_ends_the_wait_at_once(stack: Bay) -> None:
    """A server that exits is told with its last words, long before the deadline."""
    compose = stack.project / "docker-compose.test.yml"
    compose.write_text(compose.read_text().replace("fsync=off", "fsyncc=off"))

    done = stack.run("run", "shop", TESTBAY_READY_TIMEOUT="600")

    assert done.code == 12
    assert "error: postgres ended (exit code 1)" in done.lines
    assert 'unrecognized configuration parameter "fsyncc"' in done.out


def test_server_that_dies_during_the_tests_ends_the_run(stack: Bay, engine: str) -> None:
    """A dependency that is killed half-way is named at once; nobody waits for the tests to notice."""
    stack.tests(SLOW_TEST)
    child = stack.start("run", "shop")
    read_until(child, "test session starts")
    _kill_nats(stack, engine)
    rest, _ = child.communicate(timeout=40)

    assert child.returncode == 12, rest
    assert "error: nats ended (" in rest


def _kill_nats(stack: Bay, engine: str) -> None:
    if engine == "compose":
        name = next(thing.split()[1] for thing in stack.left(0) if thing.startswith("container ") and "-nats-" in thing)
        subprocess.run(["docker", "kill", name], check=True, capture_output=True)
        return
    line = next(line for line in stack.processes() if "nats-server" in line)
    os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.mark.parametrize("victim", ["caller", "worker", "undertaker"])
def test_killed_process_of_ours_leaves_nothing(stack: Bay, victim: str) -> None:
    """Kill -9 of the caller or of either half of the guard: servers, networks, volumes and folders go."""
    stack.tests(SLOW_TEST)
    child = stack.start("run", "shop")
    read_until(child, "test session starts")
    os.kill(_victim(stack, child.pid, victim), signal.SIGKILL)
    child.communicate(timeout=40)

    assert stack.left() == []


def _victim(stack: Bay, caller: int, who: str) -> int:
    if who == "caller":
        return caller
    guards = sorted(int(line.split()[0]) for line in stack.processes() if "testbay.harness.stack.guard" in line)
    return guards[0] if who == "undertaker" else guards[1]


def test_caller_killed_while_starting_leaves_nothing(stack: Bay) -> None:
    """Kill -9 in the middle of the start, when half the servers exist."""
    for delay_s in (0.15, 0.4, 0.7):
        child = stack.start("run", "shop")
        read_until(child, "==> Start")
        time.sleep(delay_s)
        child.kill()
        child.communicate(timeout=40)

    assert stack.left() == []


def test_kept_stack_is_found_and_ends_when_idle(stack: Bay) -> None:
    """A warm stack is reused by the next call and ends itself when nobody uses it."""
    assert stack.run("up", "shop", "--keep", "--idle", "12s").code == 0
    warm = stack.run("exec", "shop", "--", sys.executable, "-c", "print('used')")

    assert (warm.code, "found warm" in warm.out, warm.lines[-1]) == (0, True, "used")
    assert stack.left(60) == []


def test_several_runs_at_once_share_nothing(stack: Bay) -> None:
    """Two runs of one checkout at the same time: both green, on different ports."""
    children = [stack.start("run", "shop") for _ in range(2)]
    outs = [child.communicate(timeout=90)[0] for child in children]

    assert [child.returncode for child in children] == [0, 0], "\n".join(outs)
    ports = [re.findall(r"Running on port (\d+)", out) for out in outs]
    assert not set(ports[0]) & set(ports[1])


@pytest.mark.compose
def test_image_that_cannot_be_pulled(bay: Bay) -> None:
    """By name: an error that names the image. Under auto: embedded, with that as the reason."""
    missing = {"NATS_IMAGE": "nats:no-such-tag-anywhere"}
    by_name = bay.run("run", "shop", "--engine", "compose", **missing)
    auto = bay.run("run", "shop", "--engine", "auto", **missing)

    what = "image nats:no-such-tag-anywhere is not here and cannot be pulled"
    assert (by_name.code, f"error: {what}" in by_name.lines) == (11, True)
    assert (auto.code, f"==> Start postgres, dragonfly, nats (embedded: auto: {what})" in auto.lines) == (0, True)


@pytest.mark.compose
def test_auto_takes_compose_where_it_answers(bay: Bay) -> None:
    """With a Docker engine and the images at hand, auto means compose, and says so first."""
    done = bay.run("run", "shop", "--engine", "auto")

    assert (done.code, done.lines[0].startswith("==> Start postgres, dragonfly, nats (compose: auto: Docker ")) == (
        0,
        True,
    )


@pytest.mark.compose
def test_image_without_a_room_runs_on_compose(bay: Bay) -> None:
    """A service testbay knows nothing of is started when the manifest asks for it."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(f'also = ["bucket"]\n{manifest.read_text()}')
    compose = bay.project / "docker-compose.test.yml"
    image = os.environ.get("DRAGONFLY_IMAGE", "redis:7")
    subprocess.run(["docker", "tag", image, "testbay-test/bucket:1"], check=True)
    compose.write_text(compose.read_text() + "\n  bucket:\n    image: testbay-test/bucket:1\n")
    try:
        done = bay.run("exec", "shop", "--engine", "compose", "--", "docker", "ps", "--format", "{{.Image}}")
    finally:
        subprocess.run(["docker", "rmi", "testbay-test/bucket:1"], check=True, capture_output=True)

    assert (done.code, "testbay-test/bucket:1" in done.lines) == (0, True)
