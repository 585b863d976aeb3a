"""How long the checks of the agent executor take before a merge: eighteen results, from the command to its exit.

Usage: .venv/bin/python bench/premerge.py [--rounds 5]

Each round is the whole command: three servers are started, migrations applied, pytest asks and all is ended. A round
before them fills the cache of templates and does not count. CPU is that of the command and of what it waited for, which
leaves out servers that a guard ends. Exit code 1: the median is above eight seconds, or a check did not pass.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_S = 8.0


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    once()
    found = [once() for _ in range(rounds)]
    wall_s, cpu_s = (statistics.median(one[at] for one in found) for at in (0, 1))
    print(f"{found[0][2]} results: {wall_s:.1f} s (best {min(found)[0]:.1f} s), {cpu_s:.1f} s CPU")
    sys.exit(1 if wall_s > MOST_S else 0)


def once() -> tuple[float, float, int]:
    """Seconds, CPU seconds, and how many results passed."""
    argv = [sys.executable, "-m", "testbay", "check", "agent_executor", "--phase", "pre-merge", "--json"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stderr}")
    verdicts = [one["verdict"] for one in json.loads(done.stdout)["results"]]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, verdicts.count("pass")


if __name__ == "__main__":
    main()
