"""A thousand HTTP checks every fifteen seconds: testbay watch beside Prometheus with blackbox_exporter, in turns.

Usage: eval "$(scripts/dev/programs.sh)"
       .venv/bin/python bench/watch.py [--checks 1000] [--every 15] [--minutes 5] [--turns 2]

Both ask the same server on loopback, which is not counted, and both want status 200 of each check. Who goes first
changes with each turn. It prints CPU and memory of each as ratios of one turn, and for testbay how late its rounds were
and how many were skipped or lost. CPU is that of all its processes while it asks, without their starts: the first
twenty seconds are left out. Memory is the most that was seen. Exit code 1: a goal was missed. It needs Debian's
prometheus and prometheus-blackbox-exporter on the PATH.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

_SERVER = """
from aiohttp import web
async def answer(_): return web.json_response({"status": "ok"})
app = web.Application()
app.router.add_get("/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)
"""
SERVER, LIVE, PROMETHEUS, BLACKBOX = 18911, 18912, 18913, 18914
_TICKS = os.sysconf("SC_CLK_TCK")
_SETTLE_S = 20.0


@contextmanager
def running(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


def answers(url: str, within_s: float = 120) -> str:
    until = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own addresses
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measured(pids: list[int], seconds: float) -> tuple[float, float]:
    """CPU seconds and the most memory (PSS would be fairer to neither: they share nothing), in MiB."""
    before, most = sum(map(cpu_s, pids)), 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        most = max(most, sum(psutil.Process(pid).memory_info().rss for pid in pids) / 2**20)
        time.sleep(1)
    return sum(map(cpu_s, pids)) - before, most


def testbay(folder: Path, checks: int, every_s: int, seconds: float) -> dict[str, float]:
    lines = [
        f'service = "shop"\n[target.prod]\nbase_url = "http://127.0.0.1:{SERVER}"\n[defaults]\nevery = "{every_s}s"'
    ]
    lines += [
        f'[[check]]\nid = "c{at}"\nkind = "http"\nget = "/c{at}"\nexpect = ["status == 200"]' for at in range(checks)
    ]
    (folder / "testbay.toml").write_text("\n".join(lines) + "\n")
    argv = [sys.executable, "-m", "testbay", "watch", "--listen", f"127.0.0.1:{LIVE}"]
    with running(argv, folder) as child:
        answers(f"http://127.0.0.1:{LIVE}/health")
        time.sleep(_SETTLE_S)
        first = numbers(answers(f"http://127.0.0.1:{LIVE}/metrics"))
        cpu, memory = measured([child.pid], seconds)
        last = numbers(answers(f"http://127.0.0.1:{LIVE}/metrics"))
        well = sum(
            one["state"] == "pass" for one in json.loads(answers(f"http://127.0.0.1:{LIVE}/api/checks"))["checks"]
        )
    rounds = last["testbay_watch_lateness_seconds_count"] - first["testbay_watch_lateness_seconds_count"]
    return {
        "cpu_s": cpu,
        "memory_mib": memory,
        "rounds": rounds,
        "expected": checks * seconds / every_s,
        "lateness_p99_s": quantile(first, last, 0.99),
        "skipped": last["testbay_watch_skipped_total"],
        "lost": last["testbay_watch_lost_total"],
        "well": well,
    }


def numbers(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if line.startswith("testbay_watch"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def quantile(first: dict[str, float], last: dict[str, float], share: float) -> float:
    """The bucket that holds it, at its upper end."""
    mark = 'testbay_watch_lateness_seconds_bucket{le="'
    counts = {float(name[len(mark) : -2]): last[name] - first.get(name, 0) for name in last if name.startswith(mark)}
    whole = max(counts.values())
    return min(most for most, count in counts.items() if count >= share * whole)


def blackbox(folder: Path, checks: int, every_s: int, seconds: float) -> dict[str, float]:
    (folder / "blackbox.yml").write_text(
        "modules: {ok: {prober: http, timeout: 10s, http: {valid_status_codes: [200]}}}\n"
    )
    targets = [f"http://127.0.0.1:{SERVER}/c{at}" for at in range(checks)]
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{BLACKBOX}"},
    ]
    job = {
        "job_name": "shop",
        "scrape_interval": f"{every_s}s",
        "metrics_path": "/probe",
        "params": {"module": ["ok"]},
        "static_configs": [{"targets": targets}],
        "relabel_configs": relabel,
    }
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    store = f"--storage.tsdb.path={folder / 'tsdb'}"
    with ExitStack() as both:
        prober = [
            "prometheus-blackbox-exporter",
            "--config.file=blackbox.yml",
            f"--web.listen-address=127.0.0.1:{BLACKBOX}",
        ]
        asks = both.enter_context(running(prober, folder))
        keeper = ["prometheus", "--config.file=prometheus.yml", store, f"--web.listen-address=127.0.0.1:{PROMETHEUS}"]
        keeps = both.enter_context(running(keeper, folder))
        answers(f"http://127.0.0.1:{PROMETHEUS}/-/ready")
        time.sleep(_SETTLE_S)
        cpu, memory = measured([asks.pid, keeps.pid], seconds)
        query = f"http://127.0.0.1:{PROMETHEUS}/api/v1/query?query=count(probe_success==1)"
        found = json.loads(answers(query))["data"]["result"]
    return {"cpu_s": cpu, "memory_mib": memory, "well": float(found[0]["value"][1]) if found else 0.0}


def turn(folder: Path, number: int, asked: argparse.Namespace) -> list[str]:
    """One of each; which goals were missed."""
    seconds, found = asked.minutes * 60, {}
    contestants = {"testbay": testbay, "prometheus + blackbox_exporter": blackbox}
    for name, run in list(contestants.items())[:: 1 if number % 2 == 0 else -1]:
        found[name] = run(folder, asked.checks, asked.every, seconds)
        print(f"turn {number + 1}: {name}", json.dumps(found[name]), flush=True)
        for left in (".testbay", "tsdb"):
            shutil.rmtree(folder / left, ignore_errors=True)
    ours, theirs = found.values() if number % 2 == 0 else reversed(found.values())
    ratios = {key: ours[key] / theirs[key] for key in ("cpu_s", "memory_mib")}
    print(f"turn {number + 1}: ratio", json.dumps({key: round(value, 2) for key, value in ratios.items()}), flush=True)
    goals = {
        "every check passes for both": ours["well"] == theirs["well"] == asked.checks,
        "CPU at most theirs": ratios["cpu_s"] <= 1,
        "memory at most theirs": ratios["memory_mib"] <= 1,
        "lateness p99 at most 250 ms": ours["lateness_p99_s"] <= 0.25,
        "no round skipped or lost": ours["skipped"] + ours["lost"] == 0,
    }
    return [goal for goal, is_met in goals.items() if not is_met]


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("checks", 1000), ("every", 15), ("minutes", 5), ("turns", 2)):
        parser.add_argument(f"--{name}", type=float if name == "minutes" else int, default=usual)
    asked = parser.parse_args()
    for name in ("prometheus", "prometheus-blackbox-exporter"):
        if not shutil.which(name):
            sys.exit(f'{name} is not on the PATH: eval "$(scripts/dev/programs.sh)"')
    with tempfile.TemporaryDirectory(prefix="watch-bench-") as name:
        folder = Path(name)
        (folder / "server.py").write_text(_SERVER.replace("PORT", str(SERVER)))
        with running([sys.executable, "server.py"], folder):
            answers(f"http://127.0.0.1:{SERVER}/")
            missed = [goal for number in range(asked.turns) for goal in turn(folder, number, asked)]
    print(f"missed: {'; '.join(missed)}" if missed else "every goal was met")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
