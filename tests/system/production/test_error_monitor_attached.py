"""The error monitor inside somebody else's application: agent_executor serves both, on one database."""

import subprocess
import sys
from pathlib import Path

import httpx
from tests.served import await_answer
from tests.system.conftest import REPOSITORY

from testbay.fixtures import eventually
from testbay.ports import hold

TOKEN = "only-for-tests-0123456789"
ATTACHED = "from agent_executor.app import app\nfrom error_monitor.app import attach\n\nattach(app)\n"
START = "error-monitor migrate && exec python -m uvicorn attached:app --port {port}"


def test_agent_executor_with_the_monitor_in_it(tmp_path: Path) -> None:
    """Both lifespans run: the agents' API answers, the monitor has its tables and scans, its routes want the token."""
    (tmp_path / "attached.py").write_text(ATTACHED, encoding="utf-8")
    trace = 'Traceback (most recent call last):\n  File "/srv/shop/pay.py", line 7, in pay\n    pay()\nKeyError: 1\n'
    (tmp_path / "shop.log").write_text(trace, encoding="utf-8")
    port, lock = hold(18700, fixed=False, name="attached")
    url = f"http://127.0.0.1:{port}"
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(tmp_path),
        "TESTBAY_ENGINE": "embedded",
    }
    env |= {"LOG_FILES": f"{tmp_path}/*.log", "ERROR_MONITOR_TOKEN": TOKEN, "ERROR_MONITOR_SETTLE_S": "0"}
    env |= {"TESTBAY_CACHE_DIR": str(tmp_path / "cache"), "TESTBAY_LLM": "replay"}
    argv = [sys.executable, "-m", "testbay", "exec", "agent_executor", "--", "sh", "-c", START.format(port=port)]
    said = tmp_path / "serve.out"
    with (
        lock,
        said.open("wb") as output,
        subprocess.Popen(argv, cwd=REPOSITORY, env=env, stdout=output, stderr=output) as child,
    ):
        try:
            await_answer(f"{url}/api/health", child, said)
            found, refused = asked(url)
        finally:
            child.terminate()
            child.wait(120)

    assert (found, refused) == (["KeyError"], 401)


def asked(url: str) -> tuple[list[str], int]:
    """The types of the patterns that were found, and what comes without the token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    scan = f"{url}/error-monitor/monitor/scan"
    eventually(lambda: httpx.post(scan, headers=headers, timeout=30).status_code == 200, "the monitor to scan", 120)
    patterns = httpx.get(f"{url}/error-monitor/errors/patterns", headers=headers, timeout=30).json()["patterns"]
    return [one["type"] for one in patterns], httpx.get(f"{url}/error-monitor/", timeout=30).status_code
