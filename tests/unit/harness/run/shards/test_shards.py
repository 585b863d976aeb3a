import json
import os
import random
from itertools import chain
from pathlib import Path

import pytest

from testbay.harness.run.folder import contents
from testbay.harness.run.shards import split as shards
from testbay.settings import Shard


def suite(seed: int) -> tuple[list[str], dict[str, float], int]:
    """Some tests, durations of some of them and of some others, a number of shards: any that may occur."""
    dice = random.Random(seed)
    ids = [f"tests/t_{n}.py::test[ü-{n}]" for n in range(dice.randrange(60))]
    known = dice.sample([*ids, "gone"], dice.randrange(len(ids) + 1))
    durations = {nodeid: dice.choice([0.0, 1.0, dice.random(), dice.paretovariate(1)]) for nodeid in known}
    return ids, durations, dice.randint(1, 9)


@pytest.mark.parametrize("seed", range(200))
def test_every_test_is_in_one_shard(seed: int) -> None:
    """Whatever the durations: the union is the whole, and nothing is there twice."""
    ids, durations, count = suite(seed)

    parts = shards.split(ids, durations, count)

    assert (len(parts), sorted(chain.from_iterable(parts))) == (count, sorted(ids))


@pytest.mark.parametrize("seed", range(50))
def test_the_split_is_the_same_in_any_order(seed: int) -> None:
    """Each machine decides alone, and may collect in another order or read the durations in another."""
    ids, durations, count = suite(seed)
    shuffled = random.Random(0).sample(ids, len(ids))

    assert shards.split(shuffled, dict(reversed(durations.items())), count) == shards.split(ids, durations, count)


@pytest.mark.parametrize("seed", range(50))
def test_no_shard_takes_longer_than_it_must(seed: int) -> None:
    """Without its shortest test no shard takes longer than the mean of all."""
    ids, durations, count = suite(seed)
    seconds = {nodeid: durations.setdefault(nodeid, 1.0) for nodeid in ids}

    costs = [[seconds[nodeid] for nodeid in part] for part in shards.split(ids, durations, count)]

    mean = sum(seconds.values()) / count
    assert [cost for cost in costs if sum(cost) - min(cost, default=0) > mean + 1e-9] == []


@pytest.mark.parametrize(
    ("durations", "parts"),
    [
        pytest.param({}, [["a", "c"], ["b", "d"]], id="none-known"),
        pytest.param({"a": 0, "b": 0, "c": 0, "d": 0}, [["a", "c"], ["b", "d"]], id="all-zero"),
        pytest.param({"d": 9.0, "a": 3.0, "b": 3.0, "c": 3.0}, [["d"], ["a", "b", "c"]], id="one-is-long"),
        pytest.param({"d": 4.0, "c": 2.0}, [["d", "c"], ["a", "b"]], id="unknown-is-average"),
    ],
)
def test_tests_are_dealt_by_their_durations(durations: dict[str, float], parts: list[list[str]]) -> None:
    """The longest first, each to the shard with the least to do; what is not known counts as the average."""
    assert shards.split("abcd", durations, 2) == parts


def test_a_repeated_id_stays_in_one_shard() -> None:
    """A suite that collects a test twice (--keep-duplicates) runs it twice in one shard, not once in two."""
    assert shards.split(["a", "a", "b"], {}, 2) == [["a"], ["b"]]


def kept(project: Path, run: str, durations: object, *, shard: bool = False) -> Path:
    """A run's folder in a project with what it recorded."""
    folder = project / ".testbay/runs" / run
    folder.mkdir(parents=True)
    (folder / "durations.json").write_text(json.dumps(durations), encoding="utf-8")
    if shard:
        (folder / "shard.json").write_text("{}", encoding="utf-8")
    return folder


def test_durations_are_those_of_the_newest_runs(tmp_path: Path) -> None:
    """A test that the newest run left out is known from an older one; other services and shards do not count."""
    kept(tmp_path, "20260101-100000-shop-aaaa", {"a": 1.0, "b": 1.0})
    kept(tmp_path, "20260102-100000-shop-aaaa", {"a": 2.0})
    kept(tmp_path, "20260103-100000-shop-aaaa", {"a": 3.0}, shard=True)
    kept(tmp_path, "20260104-100000-shop_2-aaaa", {"a": 4.0})

    assert shards.find_durations(None, tmp_path, "shop") == ({"a": 2.0, "b": 1.0}, [])


def test_the_file_asked_for_is_the_only_one(tmp_path: Path) -> None:
    """What CI hands to all shards is not mixed with what lies about on one of them; it may be a link."""
    folder = kept(tmp_path, "20260101-100000-shop-aaaa", {"a": 1.0})
    link = tmp_path / "link.json"
    link.symlink_to(kept(tmp_path, "elsewhere", {"b": 2}) / "durations.json")

    assert shards.find_durations(link, tmp_path, "shop") == ({"b": 2}, [])
    assert shards.find_durations(None, tmp_path, "shop") == ({"a": 1.0}, [])
    assert folder.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"a": 1', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "not an object of seconds by test id"),
        ('{"a": "1"}', "not an object of seconds by test id"),
        ('{"a": NaN}', "not an object of seconds by test id"),
        ('{"a": -1}', "not an object of seconds by test id"),
        ('{"a": true}', "not an object of seconds by test id"),
        ('{"a": 1e999}', "not an object of seconds by test id"),
    ],
)
def test_damaged_durations_are_left_out_with_a_note(tmp_path: Path, content: str, why: str) -> None:
    """The split is then by number: worse, but true."""
    file = tmp_path / "durations.json"
    file.write_text(content, encoding="utf-8")

    assert shards.find_durations(file, tmp_path, "shop") == ({}, [f"{file}: no durations: {why}"])


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """Not there, no file, a pipe that nobody writes to, larger than anything that a run writes."""
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(2**28)

    def note(name: str) -> str:
        return shards.find_durations(tmp_path / name, tmp_path, "shop")[1][0].rpartition(": ")[2]

    assert [note(name) for name in ("none", ".", "pipe", "large")] == [
        "No such file or directory",
        "Is a directory",
        "no ordinary file",
        "larger than 128 MiB",
    ]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A file of an artifact is read where it is."""
    (tmp_path / "link").symlink_to("/etc/hostname")

    with pytest.raises(ValueError, match="Too many levels of symbolic links"):
        contents(tmp_path / "link")


def test_the_fingerprint_is_that_of_the_values() -> None:
    """Two shards know by it whether they were split by the same."""
    assert shards.fingerprint({"a": 1.0, "b": 2.0}) == shards.fingerprint({"b": 2.0, "a": 1.0})
    assert shards.fingerprint({"a": 1.0}) != shards.fingerprint({"a": 1.5})


def test_a_shard_is_written_as_it_is_asked_for() -> None:
    """In every message."""
    assert str(Shard(2, 4)) == "2/4"
