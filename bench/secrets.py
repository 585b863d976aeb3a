"""What `testbay with-secrets` adds to a command: beside the command alone, in turns, and how often AWS is asked.

Usage: .venv/bin/python bench/secrets.py [--rounds 7]

AWS and GitHub answer on loopback (moto, and an endpoint of ours), so the way to them is not measured.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The cloud on loopback is the tests'; and in this folder `secrets` would be this file, not Python's module.
sys.path[0] = str(Path(__file__).parents[1])

from tests.system.fakes import cloud as clouds  # noqa: E402
from tests.system.fakes.cloud import Cloud, Shop  # noqa: E402

LARGE_BYTES = 200_000_000
LINE = b'2026-11-21T10:00:00Z INFO handled id=4711 in 12 ms path=/api/health status=200 body={"status": "healthy"}\n'


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns each contestant gets (default 7)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="testbay-bench-") as folder:
        home = Path(folder)
        with clouds.moto(home) as port, clouds.serving(port) as cloud:
            cloud.put(key=clouds.CANARY, **{f"key{n}": f"a value of its own {n}" for n in range(9)})
            shop = clouds.Shop(home, cloud)
            measure(shop, rounds)
            count(shop, cloud)


def measure(shop: Shop, rounds: int) -> None:
    """The medians, each beside the command alone."""
    large = shop.reports / "large.log"
    wrapped = ("shop", "--", "sh", "-c", ":")
    medians = take_turns(
        rounds,
        {
            "the command alone (sh -c :)": lambda: plain(shop),
            "testbay --version: Python and nothing else": lambda: plain(
                shop, sys.executable, "-m", "testbay", "--version"
            ),
            "with-secrets --from-env: no AWS": lambda: timed(shop, "--from-env", *wrapped, KEY="a value from here"),
            "with-secrets: token, role, parameter": lambda: timed(shop, *wrapped),
            "with-secrets, and a new report of 200 MB to search": lambda: with_report(shop, large, *wrapped),
        },
    )
    floor = next(iter(medians.values()))
    print(f"{'what':<54} {'median':>9} {'added':>9}")
    for what, seconds in medians.items():
        print(f"{what:<54} {seconds * 1000:7.0f}ms {(seconds - floor) * 1000:7.0f}ms", flush=True)


def take_turns(rounds: int, contestants: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each, measured in turns so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def plain(shop: Shop, *argv: str) -> float:
    """Seconds of a command without any of it."""
    began = time.perf_counter()
    subprocess.run(argv or ["sh", "-c", ":"], env=shop.environ, cwd=shop.project, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def timed(shop: Shop, *arguments: str, **environ: str) -> float:
    """Seconds of `testbay with-secrets`."""
    began = time.perf_counter()
    done = shop.run(*arguments, **environ)
    seconds = time.perf_counter() - began
    if done.code:
        sys.exit(done.out)
    return seconds


def with_report(shop: Shop, file: Path, *arguments: str) -> float:
    """The same with a large file that is new, and gone afterwards."""
    file.write_bytes(LINE * (LARGE_BYTES // len(LINE)))
    try:
        return timed(shop, *arguments)
    finally:
        file.unlink()
        os.sync()


def count(shop: Shop, cloud: Cloud) -> None:
    """How often each provider is asked, for one parameter and for ten."""
    for number in (1, 10):
        shop.secrets(KEY="/shop/test/key", **{f"KEY{n}": f"/shop/test/key{n}" for n in range(number - 1)})
        cloud.calls.clear()
        timed(shop, "shop", "--", "sh", "-c", ":")
        calls = ", ".join(f"{cloud.calls.count(call)} {call}" for call in dict.fromkeys(cloud.calls))
        print(f"{f'calls for {number} parameters':<54} {calls}")


if __name__ == "__main__":
    main()
