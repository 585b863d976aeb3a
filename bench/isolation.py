"""What isolating a test costs: testbay against pytest-postgresql, testcontainers, and what one writes by hand.

Usage: .venv/bin/python bench/isolation.py [--tests 500] [--quick] [--only NAME]... [--no-plot]
Needs: .venv/bin/uv pip install --python .venv/bin/python --group bench

All contestants run one after the other on one machine, with one generated schema of 50 tables, and servers with the
same programs, flags and RAM disk. A test inserts one row, commits and reads it back; that its id is 1 and no other row
is there proves the isolation. Each contestant's tests run in a pytest process of their own. The one that rolls back
cannot commit, and no other process sees its row: it tests no service, no second connection, no deferred constraint.

  cost          setup + teardown of a test as pytest reports them: what the isolation adds. The first test, which holds
                the start-up, is left out. Median and 95th percentile.
  tests/s       from the first test's body to the last test's end; in brackets of the whole command, start-up included
  x peer        against pytest-postgresql; x floor: against a bare loop that knows which table to empty

Example: bench/isolation.py --tests 100 --quick --only testbay --only pytest-postgresql
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import isolation_plot
from isolation_project import (
    FLOOR,
    PEER,
    PLAN,
    REPOSITORY,
    TABLES,
    Contestant,
    Site,
    dependencies,
    generate_tests,
    site,
    why_no_docker,
)

from testbay import process
from testbay.errors import BayError
from testbay.harness.dependencies.postgres import server as postgres

GROWTH = (100, 500, 1000, 2000)
INSTALL = ".venv/bin/uv pip install --python .venv/bin/python --group bench"
LIMIT_S = 3600


class FailedError(Exception):
    """A contestant's tests did not all run and pass: its numbers would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one command showed."""

    tests: int
    costs_ms: list[float]
    inside_s: float
    whole_s: float

    @property
    def cost_ms(self) -> float:
        """The median."""
        return statistics.median(self.costs_ms)

    @property
    def slow_ms(self) -> float:
        """The 95th percentile."""
        return statistics.quantiles(self.costs_ms, n=20, method="inclusive")[-1]

    def rates(self) -> str:
        """Tests per second, inside and (whole)."""
        return f"{self.tests / self.inside_s:7.1f} {f'({self.tests / self.whole_s:.1f})':>8}"


def main() -> None:
    """Measure what was asked for, print the table, draw the plot."""
    asked = arguments()
    chosen = [one for one in PLAN if not asked.only or any(meant(one, name) for name in asked.only)]
    sizes = [size for size in GROWTH if size <= 500 or not asked.quick]
    with process.signals_as_errors(), site() as here:
        serial, failed = compare(chosen, asked.tests, here)
        growing = [one for one in chosen if one.name in serial and one.name in (PEER, "testbay-all")]
        growth = grow(growing, sizes, here)
    if failed:
        raise SystemExit("\n\n".join(failed))
    if not asked.only and not asked.no_plot:
        named = {one.what: (one.name, serial[one.name].cost_ms) for one in PLAN if one.name in serial}
        target = REPOSITORY / "docs" / "isolation.svg"
        target.write_text(isolation_plot.draw(named, growth, conditions()), encoding="utf-8")
        print(f"\n{target.relative_to(REPOSITORY)} is written")


def compare(chosen: list[Contestant], tests: int, here: Site) -> tuple[dict[str, Run], list[str]]:
    """The table: the serial runs, and what those said that failed; one that fails does not stop the others."""
    serial: dict[str, Run] = {}
    failed = []
    heading()
    for one in chosen:
        if reason := unable(one):
            print(f"{one.what:<52} not measured: {reason}", flush=True)
            continue
        try:
            run, parallel = measure(one, tests, 1, here), measure(one, tests, 2, here)
        except FailedError as error:
            print(f"{one.what:<52} failed, see below", flush=True)
            failed.append(f"{one.what}: {error}")
            continue
        serial[one.name] = run
        row(one, serial, parallel)
    return serial, failed


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tests", type=int, default=500, help="tests of each contestant (default 500; slow ones: fewer)"
    )
    parser.add_argument("--quick", action="store_true", help="leave the growth to 1000 and 2000 tests out")
    names = ", ".join(one.name for one in PLAN)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"this one, or all that begin so; no plot then: {names}"
    )
    parser.add_argument("--no-plot", action="store_true", help="leave docs/isolation.svg as it is")
    asked = parser.parse_args()
    if asked.tests < 5:
        parser.error("--tests: at least 5, or there is no 95th percentile")
    if unknown := [n for n in asked.only or () if not any(meant(one, n) for one in PLAN)]:
        parser.error(f"--only: nobody is called {', '.join(unknown)}; there are {names}")
    return asked


def meant(one: Contestant, name: str) -> bool:
    """Whether a name given to --only is this contestant's: the whole of it, or what several begin with."""
    exact = any(other.name == name for other in PLAN)
    return one.name == name if exact else one.name.startswith(name)


def unable(one: Contestant) -> str:
    """Why a contestant cannot run here; empty when it can."""
    if one.package and importlib.util.find_spec(one.package) is None:
        return f"{one.package} is not installed ({INSTALL})"
    if "testbay" in one.plugins and not any(e.name == "testbay" for e in metadata.entry_points(group="pytest11")):
        return "this testbay has no fixtures yet"
    return why_no_docker() if one.docker else ""


def heading() -> None:
    """The table's head."""
    print(conditions())
    print(f"\n{'':<52} {'':>5} {'cost of isolation, ms':^25} {'':>15} {'tests/s (whole command)':^33}")
    columns = f"{'tests':>5} {'median':>8} {'p95':>8} {'x peer':>7} {'x floor':>8}"
    print(f"{'':<52} {columns}   {'serial':^16} {'-n 2':^16}   target", flush=True)


def conditions() -> str:
    """What the numbers depend on."""
    compose = dependencies()["postgres"]
    version = postgres.find(compose, os.environ).version
    return f"PostgreSQL {version}, {TABLES} tables, fsync off, RAM disk, {os.cpu_count()} cores"


def row(one: Contestant, serial: dict[str, Run], parallel: Run) -> None:
    """One line of the table."""
    run = serial[one.name]
    ratios = f"{ratio(run, serial.get(PEER)):>7} {ratio(run, serial.get(FLOOR)):>8}"
    numbers = f"{run.tests:>5} {run.cost_ms:>8.2f} {run.slow_ms:>8.2f} {ratios}"
    print(f"{one.what:<52} {numbers}  {run.rates()} {parallel.rates()}   {one.target}".rstrip(), flush=True)


def ratio(run: Run, other: Run | None) -> str:
    """How many times as much."""
    return f"{run.cost_ms / other.cost_ms:.3g}x" if other else ""


def grow(growing: list[Contestant], sizes: list[int], here: Site) -> dict[str, list[tuple[int, float]]]:
    """What a test costs when there are more of them, in turns."""
    if not growing:
        return {}
    runs = {(one.name, size): measure(one, size, 1, here) for size in sizes for one in growing}
    print(f"\n{'cost with so many tests: median ms (all in all, ms per test)':<68}", end="")
    print("".join(f"{size:>16}" for size in sizes))
    for one in growing:
        cells = [runs[one.name, size] for size in sizes]
        print(f"{one.what:<68}", end="")
        print("".join(f"{f'{run.cost_ms:.2f} ({run.inside_s / run.tests * 1000:.2f})':>16}" for run in cells))
    return {one.what: [(size, runs[one.name, size].cost_ms) for size in sizes] for one in growing}


def measure(one: Contestant, tests: int, workers: int, here: Site) -> Run:
    """Generate the tests, run them in a command of their own, read what it recorded."""
    tests = min(tests, one.most)
    service = here.project / "services" / "shop"
    folder = service / "tests" / "integration" if "testbay" in one.plugins else here.folder / "hand"
    shutil.rmtree(folder, ignore_errors=True)
    generate_tests(one, tests, folder)
    environ = {**here.environ, "PYTHONPATH": str(folder)}
    if "testbay" in one.plugins and workers == 1:
        command(
            [*pytest(one), str(folder / "test_0000.py::test_0000")], service, {**environ, "BENCH_RECORD": os.devnull}
        )  # fills its cache
    records = [folder / f"record-{number}.json" for number in range(workers if one.loop else 1)]
    began = time.perf_counter()
    if one.loop:
        in_loops(one.loop, tests, records, environ)
    else:
        cwd = service if "testbay" in one.plugins else folder
        split = ["-p", "xdist", "-n", str(workers)] if workers > 1 else []
        command([*pytest(one), *split], cwd, {**environ, "BENCH_RECORD": str(records[0])})
    whole_s = time.perf_counter() - began
    return summary([phase for record in records for phase in json.loads(record.read_text())], tests, whole_s)


def pytest(one: Contestant) -> list[str]:
    """The command line, with the contestant's plugins and no others."""
    plugins = [word for name in ("recorder", *one.plugins) for word in ("-p", name)]
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins]


def in_loops(how: str, tests: int, records: list[Path], environ: dict[str, str]) -> None:
    """The bare loop, once for each worker at the same time."""
    with contextlib.ExitStack() as running:
        for number, record in enumerate(records):
            share = tests // len(records) + (number < tests % len(records))
            argv = [sys.executable, "loop.py", how, str(share), str(TABLES)]
            own = {**environ, "PYTEST_XDIST_WORKER": f"gw{number}", "BENCH_RECORD": str(record)}
            running.enter_context(child(argv, record.parent, own))


def command(argv: list[str], cwd: Path, environ: dict[str, str]) -> None:
    """Run one command to its good end."""
    with child(argv, cwd, environ):
        pass


@contextlib.contextmanager
def child(argv: list[str], cwd: Path, environ: dict[str, str]) -> Iterator[None]:
    """Start a command; at the end wait for it. Whatever interrupts us, pytest hears Ctrl-C and tears down itself."""
    with tempfile.TemporaryFile() as output:
        started = process.spawn(argv, env=environ, cwd=cwd, output=output, new_session=True, death_signal=signal.SIGINT)
        try:
            yield
            code = started.wait(LIMIT_S)
        finally:
            process.end([process.identify(started.pid)], first=signal.SIGINT, patience_s=30)
            process.end(process.in_session(started.pid))
            started.wait()
        if code != 0:
            output.seek(0)
            said = output.read().decode(errors="replace")[-3000:]
            raise FailedError(f"{' '.join(argv)} failed with exit code {code}:\n{said}")


def summary(phases: list[dict[str, Any]], tests: int, whole_s: float) -> Run:
    """Every planned test must have passed; what the first one's set-up and teardown took is start-up."""
    costs: dict[str, float] = {}
    for phase in sorted(phases, key=lambda phase: phase["start"]):
        if not phase["passed"]:
            raise FailedError(f"{phase['test']}: its {phase['phase']} failed")
        extra = 0.0 if phase["phase"] == "call" else phase["seconds"] * 1000
        costs[phase["test"]] = costs.get(phase["test"], 0.0) + extra
    if len(costs) != tests:
        raise FailedError(f"{tests} tests were planned, {len(costs)} ran")
    began = min(phase["start"] for phase in phases if phase["phase"] == "call")
    ended = max(phase["stop"] for phase in phases)
    return Run(tests=tests, costs_ms=list(costs.values())[1:], inside_s=ended - began, whole_s=whole_s)


if __name__ == "__main__":
    try:
        main()
    except FailedError as error:
        raise SystemExit(f"the growth: {error}") from None
    except BayError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
