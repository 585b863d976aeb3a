"""The history of a watcher in fast motion: how large it becomes, and how long its status page takes.

Usage: .venv/bin/python bench/history.py [--checks 50] [--days 90] [--seed 1]

Each check is asked once a minute, with response times as they are and a failure now and then; each hour is tidied as
the watcher does it. An hour or a day of one check is a sum of 40 bytes; what the file has above the sums is divided by
the checks and the minutes. The page is written seven times, to a folder, and the median counts.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this folder: in it `secrets` would be a measurement, not Python's module

from testbay.files import write_whole
from testbay.production.history.slowness import Series
from testbay.production.watch import store, view
from testbay.production.watch.packing import VERDICTS, PackedRound
from testbay.production.watch.records import Changes

START = 1_700_000_000 // store.DAY_S * store.DAY_S
KEPT_S = 7 * store.DAY_S  # the usual `keep`
SUM_BYTES = 40
TURNS = 7
FAIL = VERDICTS.index("fail")


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("checks", 50), ("days", 90), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-bench-") as name:
        folder = Path(name)
        began = time.perf_counter()
        fill(folder, asked.checks, asked.days, random.Random(asked.seed))  # noqa: S311 - the same history each time
        print(
            f"{asked.checks} checks, {asked.days} days, a round a minute: filled in {time.perf_counter() - began:.0f} s"
        )
        report_size(folder, asked.checks, asked.days)
        report_page(folder, START + asked.days * store.DAY_S)


def fill(folder: Path, checks: int, days: int, chance: random.Random) -> None:
    """An hour at a time."""
    made = store.WatchStore(folder)
    every = [Series("shop", "production", f"check-{at}") for at in range(checks)]
    for hour in range(days * 24):
        begin = START + hour * store.HOUR_S
        made.write([one for series in every for one in rounds(series, begin, chance)], Changes())
        made.tidy(begin + store.HOUR_S + 1, KEPT_S)
    made.close()


def rounds(series: Series, begin: int, chance: random.Random) -> list[tuple[Series, str, PackedRound]]:
    """Of one check and hour; one in two thousand fails."""
    made = []
    for minute in range(60):
        at_ms = (begin + minute * 60) * 1000 + chance.randrange(50)
        failed = chance.random() < 0.0005
        took_us = None if failed else int(chance.lognormvariate(10, 0.3))
        made.append((series, "http", PackedRound(at_ms, FAIL if failed else 0, took_us)))
    return made


def report_size(folder: Path, checks: int, days: int) -> None:
    """Beside the sums that it has to hold."""
    size = (folder / store.FILE).stat().st_size
    sums = checks * (days * 24 + days) * SUM_BYTES
    each = (size - sums) / (checks * days * 1440)
    print(
        f"store: {size / 2**20:.1f} MiB, of which sums {sums / 2**20:.1f} MiB; {each:.2f} bytes a check and minute more"
    )


def report_page(folder: Path, now: float) -> None:
    """With reading the history, drawing and writing all files."""
    times, cpu, size = [], [], 0
    (folder / "site").mkdir()
    for _ in range(TURNS):
        began, before = time.perf_counter(), time.process_time()
        for name, text in view.files(folder, now).items():
            write_whole(folder / "site" / name, text)
            size = max(size, len(text))
        times.append(time.perf_counter() - began)
        cpu.append(time.process_time() - before)
    wall_s, cpu_s = statistics.median(times), statistics.median(cpu)
    print(f"page: {wall_s:.3f} s ({cpu_s:.3f} s CPU), best {min(times):.3f} s; {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
