"""How well plain messages are grouped, and how fast: error-monitor beside Drain3, on the same lines in one run.

Usage: .venv/bin/python bench/grouping.py FOLDER [--rounds 3] [--masks drain3.ini]

FOLDER holds labelled sets as loghub has them: CSV files with a column of lines (Content) and one of true templates
(EventTemplate). One configuration serves all sets. GA is the share of lines whose whole group is right, FGA the F1 over
groups. Drain3 is not a dependency: `uv pip install --target DIR drain3`, then PYTHONPATH=DIR.
"""

import argparse
import csv
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from error_monitor.patterns.masking import masked

MASKS = (
    (r"(?<![A-Za-z0-9])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9])", "IP"),
    (r"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]+|(?=[a-f]*\d)[0-9a-f]{8,})(?![A-Za-z0-9])", "HEX"),
    (r"(?<![A-Za-z0-9])[-+]?\d+(?![A-Za-z0-9])", "NUM"),
)
SEED = 7
Grouper = Callable[[Iterable[str]], list[str]]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One set: lines and the template that each belongs to."""

    name: str
    lines: tuple[str, ...]
    templates: tuple[str, ...]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of labelled CSV files")
    parser.add_argument("--rounds", type=int, default=3, help="timed turns each contestant gets (default 3)")
    parser.add_argument("--masks", type=Path, help="a drain3.ini, in place of three plain masks")
    args = parser.parse_args()
    sets = [labelled(path) for path in sorted(args.folder.glob("*.csv"))]
    if not sets:
        sys.exit(f"no CSV files in {args.folder}")
    groupers: dict[str, Grouper] = {"error-monitor": ours}
    if drain := drain3(args.masks):
        groupers["Drain3"] = drain
    print(f"{'set':<14} {'true':>5}" + "".join(f" {name + ' GA':>18} {'FGA':>6}" for name in groupers))
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in groupers}
    for one in sets:
        for name, grouper in groupers.items():
            figures[name].append(accuracy(grouper(one.lines), one.templates))
        row = "".join(f" {figures[name][-1][0]:>18.3f} {figures[name][-1][1]:>6.3f}" for name in groupers)
        print(f"{one.name:<14} {len(set(one.templates)):>5}{row}")
    means = [
        (statistics.fmean(ga for ga, _ in rows), statistics.fmean(fga for _, fga in rows)) for rows in figures.values()
    ]
    print(f"{'mean':<14} {'':>5}" + "".join(f" {ga:>18.3f} {fga:>6.3f}" for ga, fga in means) + "\n")
    speed_and_order(sets, groupers, args.rounds)


def labelled(path: Path) -> Labelled:
    """Read one set."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Labelled(
        name=path.name.split("_")[0],
        lines=tuple(row["Content"] for row in rows),
        templates=tuple(row["EventTemplate"] for row in rows),
    )


def ours(lines: Iterable[str]) -> list[str]:
    """The masked message of each line is its group."""
    return [masked(line) for line in lines]


def drain3(masks: Path | None) -> Grouper | None:
    """Drain3 where it is installed: the cluster of each line when it was read."""
    try:
        from drain3 import TemplateMiner  # type: ignore[import-not-found,unused-ignore]
        from drain3.masking import MaskingInstruction  # type: ignore[import-not-found,unused-ignore]
        from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        print("Drain3 is not installed: see --help\n")
        return None

    def group(lines: Iterable[str]) -> list[str]:
        config: Any = TemplateMinerConfig()
        if masks:
            config.load(str(masks))
        else:
            config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS]
        config.profiling_enabled = False
        miner = TemplateMiner(config=config)
        return [str(miner.add_log_message(line)["cluster_id"]) for line in lines]

    return group


def accuracy(found: Sequence[str], true: Sequence[str]) -> tuple[float, float]:
    """GA and FGA: a group is right if it holds exactly the lines of one template."""
    found_groups, true_groups = members(found), members(true)
    right = found_groups & true_groups
    precision, recall = len(right) / len(found_groups), len(right) / len(true_groups)
    ga = sum(map(len, right)) / len(true)
    return ga, 2 * precision * recall / (precision + recall) if right else 0.0


def members(names: Sequence[str]) -> set[frozenset[int]]:
    """The groups as sets of line numbers."""
    groups = defaultdict(set)
    for number, name in enumerate(names):
        groups[name].add(number)
    return {frozenset(group) for group in groups.values()}


def speed_and_order(sets: Sequence[Labelled], groupers: dict[str, Grouper], rounds: int) -> None:
    """Lines per second of processor time, in turns; and whether another order of lines changes a group."""
    lines = [line for one in sets for line in one.lines]
    seconds: dict[str, list[float]] = {name: [] for name in groupers}
    for _ in range(rounds):
        for name, grouper in groupers.items():
            start = time.process_time()
            grouper(lines)
            seconds[name].append(time.process_time() - start)
    for name, grouper in groupers.items():
        stable = statistics.fmean(stability(grouper, one) for one in sets)
        rate = len(lines) / statistics.median(seconds[name])
        print(f"{name:<14} {rate:>9.0f} lines/s, same groups in another order {stable:.3f}")


def stability(grouper: Grouper, one: Labelled) -> float:
    """GA of the groups in another order, measured against the groups in the order of the file."""
    order = list(range(len(one.lines)))
    random.Random(SEED).shuffle(order)  # noqa: S311 - an order, no secret
    moved = grouper([one.lines[number] for number in order])
    back = [moved[place] for place, _ in sorted(enumerate(order), key=lambda pair: pair[1])]
    return accuracy(back, grouper(one.lines))[0]


if __name__ == "__main__":
    main()
