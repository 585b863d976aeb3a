"""An hour's load in fast motion: lines through a scan into PostgreSQL, beside Drain3 alone on the same lines.

Usage: testbay exec error_monitor -- .venv/bin/python bench/scan.py [--lines 1000000] [--profile FILE]

Writes a log of a web service (requests, warnings, errors, tracebacks; one line in 25 belongs to an error), reads it
with one scan, and prints lines per second, processor time, peak memory, the longest callback of the event loop and how
late a timer was at worst. Each contestant is a process of its own, in turns. Drain3 is not a dependency: it is fetched
into a folder that is removed, unless PYTHONPATH leads to it. Exit code 1: the scan reads fewer lines per second of
processor time than Drain3, or blocked the event loop for more than 50 ms.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SEED = 7
BLOCKED_MS = 50
TURNS = 2
"""Each contestant's better one counts: what else the machine does slows a process down, and speeds none up."""
WAYS = ("orders", "users", "carts", "search", "health")
TRACE = """Traceback (most recent call last):
  File "/srv/shop/.venv/lib/python3.11/site-packages/starlette/routing.py", line 74, in app
    response = await f(request)
               ^^^^^^^^^^^^^^^^
  File "/srv/shop/app/{way}.py", line {line}, in handle_{way}
    row = rows[{number}]
          ~~~~^^^^^^^
{kind}: order {number} of {way}
"""


def main() -> None:
    """Run both contestants and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--profile", type=Path, help="write a profile of the scan, which slows it down")
    parser.add_argument("--child", choices=["scan", "drain3"], help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == "scan":
        scan(args.log, args.profile)
    elif args.child == "drain3":
        drain3(args.log)
    else:
        sys.exit(compare(args.lines, args.profile))


def compare(lines: int, profile: Path | None) -> int:
    """Each contestant in a process of its own, on one file; 1 where the scan is behind."""
    rates, blocked_ms = {}, 0.0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "shop.log"
        written = write(log, lines)
        print(f"{written} lines, {log.stat().st_size / 1e6:.0f} MB")
        for name in ("scan", "drain3") * TURNS:
            argv = [sys.executable, __file__, "--child", name, "--log", str(log)]
            argv += ["--profile", str(profile)] if profile and name == "scan" else []
            env = {**os.environ, **(fetched(Path(folder)) if name == "drain3" else {})}
            done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            rates[name] = max(rates.get(name, 0.0), written / found["cpu_s"])
            blocked_ms = max(blocked_ms, found.get("callback_ms", 0.0))
            print(row(name, written, found))
    ratio = rates["scan"] / rates["drain3"] if len(rates) == 2 else 0.0
    print(f"{ratio:.2f} x Drain3 per second of processor time, longest block of the event loop {blocked_ms:.1f} ms")
    return int((ratio < 1 and profile is None) or blocked_ms > BLOCKED_MS)


def fetched(folder: Path) -> dict[str, str]:
    """Where Drain3 is found, fetched if it is nowhere."""
    if importlib.util.find_spec("drain3"):
        return {}
    subprocess.run(["uv", "pip", "install", "--quiet", "--target", str(folder / "drain3"), "drain3"], check=False)
    return {"PYTHONPATH": os.pathsep.join([str(folder / "drain3"), os.environ.get("PYTHONPATH", "")])}


def row(name: str, lines: int, found: dict[str, Any]) -> str:
    """The figures of one contestant."""
    rates = lines / found["cpu_s"], lines / found["wall_s"]
    text = f"{name:<7} {rates[0]:>8.0f} lines/s of processor time, {rates[1]:>8.0f} by the clock"
    text += f", {found['rss_mb']:.0f} MB"
    if "events" in found:
        text += f", {found['events']} events in {found['patterns']} patterns, longest callback"
        text += f" {found['callback_ms']:.1f} ms of processor time, timer {found['late_ms']:.1f} ms late"
    return text


def write(log: Path, lines: int) -> int:
    """Write the log; how many lines it has."""
    chance = random.Random(SEED)  # noqa: S311 -- chance that can be repeated
    written = 0
    with log.open("w", encoding="utf-8") as file:
        while written < lines:
            text = record(chance, written)
            file.write(text)
            written += text.count("\n")
    return written


def record(chance: random.Random, number: int) -> str:
    """One record: mostly a request."""
    way, when = chance.choice(WAYS), f"2026-01-02 03:{number // 60 % 60:02}:{number % 60:02},{number % 1000:03}"
    kind = chance.random()
    if kind < 0.004:
        line = TRACE.format(
            way=way, line=chance.randint(1, 400), number=number, kind=chance.choice(("KeyError", "ValueError"))
        )
        return f"{when} ERROR shop.{way}: request {number} failed\n{line}"
    if kind < 0.01:
        return f"{when} ERROR shop.{way}: no answer from 10.0.{number % 200}.{number % 99} after {number % 5000} ms\n"
    if kind < 0.03:
        return f"{when} WARNING shop.{way}: slow answer, {number % 9000} ms\n"
    return f'{when} INFO uvicorn.access: 10.1.2.{number % 250}:{number % 60000} - "GET /{way}/{number} HTTP/1.1" 200\n'


def scan(log: Path, profile: Path | None) -> None:
    """One scan of the file into DATABASE_URL."""
    from error_monitor import logs
    from error_monitor.scanning.once import scan_once
    from error_monitor.settings import Settings

    told = {"LOG_FILES": str(log), "ERROR_MONITOR_NAME": f"bench-{os.getpid()}", "ERROR_MONITOR_SETTLE_S": "0"}
    settings = Settings.from_env({**os.environ, **told, "LOG_LEVEL": "error", "ERROR_MONITOR_SCAN_DEADLINE_S": "3600"})
    logs.configure(settings.log_level)
    longest = watch_callbacks()
    late = [0.0]
    began, cpu = time.perf_counter(), time.process_time()
    if profile:
        profile_threads(profile)
    found = asyncio.run(timed(scan_once(settings, None, ""), late))
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - began,
                "cpu_s": time.process_time() - cpu,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "events": found["events"],
                "patterns": found["new_patterns"],
                "callback_ms": longest[0] * 1000,
                "late_ms": late[0] * 1000,
            }
        )
    )


async def timed(work: Any, late: list[float]) -> dict[str, Any]:
    """The result, while a timer looks how late it is."""

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            late[0] = max(late[0], time.perf_counter() - began - 0.005)

    ticking = asyncio.create_task(tick())
    try:
        result: dict[str, Any] = await work
        return result
    finally:
        ticking.cancel()


def watch_callbacks() -> list[float]:
    """The longest processor time of a single callback of the event loop: what others do on the machine is not in it."""
    longest, run = [0.0], asyncio.Handle._run  # noqa: SLF001 -- there is no public way to time a callback

    def measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        longest[0] = max(longest[0], time.thread_time() - began)

    asyncio.Handle._run = measured  # noqa: SLF001
    return longest


def profile_threads(file: Path) -> None:
    """Profile every thread that works on lines."""
    import atexit
    import cProfile

    from error_monitor.scanning import reader

    profiler = cProfile.Profile()
    feed = reader.Readers.feed

    def profiled(*args: Any) -> Any:
        return profiler.runcall(feed, *args)

    reader.Readers.feed = profiled
    atexit.register(profiler.dump_stats, str(file))


def drain3(log: Path) -> None:
    """Drain3 with three masks on each line, and nothing else."""
    from grouping import drain3 as grouper

    group = grouper(None)
    if group is None:
        sys.exit("Drain3 is not installed: see --help")
    began, cpu = time.perf_counter(), time.process_time()
    with log.open(encoding="utf-8") as file:
        group(line.rstrip("\n") for line in file)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - began,
                "cpu_s": time.process_time() - cpu,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
