"""docs/error-monitor.md as commands: from a log file to a dashboard, and the checklist of the deployment."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY
from tests.system.fakes.pages import page

from testbay.ports import hold

TRACE = 'Traceback (most recent call last):\n  File "/srv/shop/pay.py", line 7, in pay\n    pay()\nKeyError: 1\n'
AROUND = """set -e
{start} &
serving=$!
trap 'kill $serving' EXIT
for _ in $(seq 300); do {health} 2>/dev/null && break || sleep 0.2; done
{checklist}
curl -fsS -u ":$ERROR_MONITOR_TOKEN" http://127.0.0.1:$PORT/error-monitor/
{reading}
"""


def block(text: str, of: str) -> list[str]:
    """The commands of the block that has this one, without comments."""
    found = next(one for one in re.findall(r"(?ms)^```bash\n(.*?)^```", text) if of in one)
    return [re.sub(r"\s+#.*", "", line) for line in found.splitlines()]


@pytest.mark.slow
def test_five_minutes_from_a_log_to_the_page(tmp_path: Path) -> None:
    """The first block and the checklist work as they stand, with this machine's database, folder and port."""
    text = page("error-monitor.md")
    (tmp_path / "app.log").write_text(TRACE * 2, encoding="utf-8")
    start = [line for line in block(text, "error-monitor serve") if "DATABASE_URL=" not in line]
    health = [line for line in block(text, "docker build") if not line.startswith("docker ")]
    reading = [line.replace("app.log:120 app.log:7", "app.log:1 app.log:6") for line in block(text, "explain app.log")]
    port, lock = hold(18900, fixed=False, name="error-monitor-page")
    script = AROUND.format(
        start="\n".join(start), health=health[0], checklist="\n".join(health), reading="\n".join(reading)
    )
    script = script.replace("/var/log/shop", str(tmp_path)).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TESTBAY_ENGINE": "embedded", "PORT": str(port)}
    env |= {"TESTBAY_CACHE_DIR": str(tmp_path / "cache")}
    argv = [sys.executable, "-m", "testbay", "exec", "error_monitor", "--"]
    argv += ["bash", "-c", f"cd {tmp_path}\n{script}"]
    with lock:
        done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert ("KeyError" in done.stdout, "one pattern" in done.stdout) == (True, True)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("REQUIRE_JAIL") != "1", reason="REQUIRE_JAIL=1 proves it in the jail; .ci/run does")
@pytest.mark.timeout(1200)  # six runs of the harness, each with a PostgreSQL of its own
def test_from_a_log_line_to_the_draft_pull_request(tmp_path: Path) -> None:
    """The walk on the stand-ins works as it stands, with a folder and a port of this test."""
    first, *walk = block(page("error-monitor.md"), "stand_ins.py line-without-count")
    assert first.startswith("testbay exec error_monitor --engine embedded -- bash")
    port, lock = hold(18950, fixed=False, name="error-monitor-walk")
    script = "\n".join(["set -em", "trap 'kill $(jobs -p)' ERR", *walk])
    script = script.replace("8080", str(port)).replace(" walk", f" {tmp_path}/walk")
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TESTBAY_CACHE_DIR": str(tmp_path / "cache")}
    start = [sys.executable, "-m", "testbay", "exec", "error_monitor", "--engine", "embedded"]
    with lock:
        argv = [*start, "--", "bash", "-c", script]
        done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False, timeout=1100)

    assert done.returncode == 0, done.stdout + done.stderr
    assert ('"state":"opened"' in done.stdout, '"draft": true' in done.stdout) == (True, True), done.stdout
    assert "new test on the base" in done.stdout
