"""The numbers that docs/latency.md tells of the rule, on a smaller scale."""

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> ModuleType:
    file = Path(request.config.rootpath) / "bench" / "latency.py"
    spec = importlib.util.spec_from_file_location("bench_latency", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def worlds(bench: ModuleType) -> Iterator[Any]:
    chance = random.Random(7)
    return iter(lambda: bench.World(chance, bench.NOISES["mid"], 0.8), None)


def test_the_rule_is_quiet_while_nothing_happens(bench: ModuleType) -> None:
    """At mid noise at most one false alarm in two years of a check; comparing with last time gives hundreds a year."""
    alarms = bench.false_alarms(worlds(bench), years=12)

    assert alarms["the rule"] <= 0.5
    assert alarms["20 % slower than last time"] > 200


def test_the_rule_finds_what_happens(bench: ModuleType) -> None:
    """At mid noise it finds +50 % within two days in 95 of 100 cases."""
    assert bench.found_share(worlds(bench), trials=100, factor=1.5)["the rule"] >= 0.95
