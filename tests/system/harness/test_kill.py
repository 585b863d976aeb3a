"""Whoever of us is killed, whenever: within seconds nothing of ours is left."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.system.conftest import REPOSITORY, TEMPLATE, Bay
from tests.system.equipment import docker_volumes

from testbay.fixtures import eventually

# engine: kills in all, lanes at once, seconds a run takes, seconds in which everything must be gone
PLANS = {
    "embedded": (int(os.environ.get("TESTBAY_KILLS", "50")), 4, 3.0, 20.0),
    "compose": (int(os.environ.get("TESTBAY_KILLS_COMPOSE", "12")), 2, 4.0, 20.0),
}

# A test with a lease (so with a server of its own) that leaves processes behind and takes a moment: a child, one in a
# session of its own, and a daemon that has left both its parent and its environment.
MESSY_TEST = """
import os
import subprocess
import time


def test_messy(bay):
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()
    time.sleep(1)
"""


class Lane:
    """Runs `make → shell → testbay run` again and again in its own checkout, and kills one of them at random."""

    def __init__(self, folder: Path, engine: str = "embedded", name: str = "shop") -> None:
        project = folder / "a project"
        shutil.copytree(TEMPLATE, project)
        shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
        (project / "run.sh").write_text(f'"{sys.executable}" -m testbay run {name}\nstatus=$?\nexit $status\n')
        (project / "Makefile").write_text("all:\n\tbash run.sh\n\t@true\n")
        self.bay = Bay(project, folder / "cache")
        self.killed: list[str] = []
        self.bay.tests(MESSY_TEST)
        self.bay.use(engine)
        self.bay.name = name  # its own, so that what a lane left on the Docker engine is told from its neighbour's
        manifest = self.bay.service / "testbay.toml"
        manifest.write_text(manifest.read_text().replace('"shop"', f'"{name}"'))
        _, _, self._seconds_of_a_run, self._gone_within_s = PLANS[engine]

    def kill_once(self, chance: random.Random) -> tuple[str, list[str]]:
        """One run, one kill; returns who was killed and what was left."""
        output = (self.bay.project / "out.log").open("w")
        make = subprocess.Popen(["make"], cwd=self.bay.project, env=self.bay.environ, stdout=output, stderr=output)
        with output:
            moment = time.monotonic() + chance.uniform(0.05, self._seconds_of_a_run)
            while time.monotonic() < moment and make.poll() is None:
                time.sleep(0.01)
            role = self._kill_one(make, chance)
            left = self.bay.left(self._gone_within_s)
            make.wait(timeout=60)
        return role, left

    def _kill_one(self, make: "subprocess.Popen[bytes]", chance: random.Random) -> str:
        ours = _ours(make.pid)
        if not ours:
            return "nobody"
        role = min(chance.sample(sorted(ours), len(ours)), key=self.killed.count)  # everybody gets their turn
        try:
            os.kill(ours[role], signal.SIGKILL)
        except ProcessLookupError:
            return "nobody"
        self.killed.append(role)
        return role


def _ours(root: int) -> dict[str, int]:
    """The processes of a run by what they are; before there is a guard, make and the shell have nothing to lose."""
    found: dict[str, int] = {}
    try:
        tree = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    for entry in tree:
        try:
            command = " ".join(entry.cmdline())
        except psutil.Error:
            continue
        if "testbay.harness.stack.guard" in command:
            found["guard's worker" if "guard's undertaker" in found else "guard's undertaker"] = entry.pid
        elif "reaper.py" in command:
            found["inner reaper" if "outer reaper" in found else "outer reaper"] = entry.pid
        elif "testbay run" in command:
            found["testbay"] = entry.pid
        elif "startpytest.py" in command:
            found["pytest"] = entry.pid
        elif entry.name() in ("make", "bash"):
            found[entry.name()] = entry.pid
    return found if "guard's worker" in found else {k: v for k, v in found.items() if k not in ("make", "bash")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_moments_leaves_nothing(
    tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kill -9 of make, shell, testbay, pytest, either half of guard or reaper, at random moments: nothing survives."""
    kills, lane_count, _, _ = PLANS[engine]
    volumes, segments = docker_volumes(), _orphaned_segments()
    seed = int(os.environ.get("TESTBAY_KILL_SEED", str(random.randrange(10**6))))
    lanes = [Lane(tmp_path / f"lane{number}", engine, f"shop{number}") for number in range(lane_count)]

    def ride(number: int) -> list[tuple[str, list[str]]]:
        chance = random.Random(seed + number)
        mine, results = len(range(number, kills, lane_count)), list[tuple[str, list[str]]]()
        while len(lanes[number].killed) < mine and len(results) < 3 * mine:  # some kills come after their run has ended
            results.append(lanes[number].kill_once(chance))
        return results

    with ThreadPoolExecutor(lane_count) as pool:
        results = [result for lane in pool.map(ride, range(lane_count)) for result in lane]
    left = [(role, what) for role, found in results for what in found]
    killed = [role for role, _ in results if role != "nobody"]
    with capsys.disabled():
        sys.stdout.write(f"\n{engine}: {len(killed)} killed, {len(left)} left (seed {seed}; {_counts(killed)})\n")

    assert left == [], "\n".join(f"{role}: {what}" for role, what in left)
    assert docker_volumes() <= volumes
    if engine == "embedded":  # a container has shared memory of its own; a server of another test may be ending now
        eventually(lambda: _orphaned_segments() <= segments)
    assert len(killed) >= kills


def _orphaned_segments() -> set[str]:
    """Shared memory that nobody uses and whose maker is dead: what a PostgreSQL that was killed leaves behind."""
    header, *rows = (line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines())
    segments = [dict(zip(header, row, strict=True)) for row in rows]
    return {s["shmid"] for s in segments if s["nattch"] == "0" and not Path(f"/proc/{s['cpid']}").exists()}


def _counts(roles: list[str]) -> str:
    return ", ".join(f"{role} {roles.count(role)}" for role in sorted(set(roles)))


def test_both_halves_of_the_guard_killed_at_once_are_collected_by_the_next_call(tmp_path: Path) -> None:
    """Only then is something left for a moment: the servers die at once, the folder goes with the next call."""
    lane = Lane(tmp_path)
    lane.bay.run("up", "shop", "--keep")

    def guards() -> list[int]:
        return [int(line.split()[0]) for line in lane.bay.processes() if "testbay.harness.stack.guard" in line]

    killed = guards()
    assert len(killed) == 2
    for guard in killed:
        os.kill(guard, signal.SIGKILL)
    eventually(lambda: not guards(), "both halves to end")  # until then they hold their lock
    collected = lane.bay.run("gc")
    assert (collected.code, collected.out.startswith("collected shop-")) == (0, True)
    assert lane.bay.left() == []
