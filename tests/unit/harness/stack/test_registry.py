import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.stack import registry


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    return tmp_path / "cache/stacks"


@pytest.fixture
def orphan() -> Iterator[process.ProcessId]:
    """A process somebody's dead guard left."""
    child = process.spawn(["sleep", "60"], new_session=True)
    yield process.identify(child.pid)
    child.kill()
    child.wait()


def dead(stacks: Path, name: str, record: dict[str, Any] | None = None) -> Path:
    """A stack whose guard ended without a word."""
    registry.claim(stacks / name).close()
    if record is not None:
        registry.write(stacks / name, record)
    return stacks / name


def test_a_claimed_stack_lives_until_its_lock_is_closed(stacks: Path) -> None:
    """The kernel closes it, however the guard ends."""
    lock = registry.claim(stacks / "one")
    registry.write(stacks / "one", {"id": "one"})
    while_alive = (registry.living(stacks), registry.collect_dead(stacks))
    lock.close()

    assert while_alive == ([{"id": "one"}], [])
    assert (registry.living(stacks), registry.collect_dead(stacks)) == ([], [("one", [])])
    assert not (stacks / "one").exists()


def test_living_stacks_are_listed_oldest_first(stacks: Path) -> None:
    """A stack that has not written its record yet is not listed."""
    with (
        closing(registry.claim(stacks / "a")),
        closing(registry.claim(stacks / "b")),
        closing(registry.claim(stacks / "c")),
    ):
        registry.write(stacks / "a", {"id": "a", "created": 2})
        registry.write(stacks / "b", {"id": "b", "created": 1})

        assert [record["id"] for record in registry.living(stacks)] == ["b", "a"]


def test_without_any_stack_there_is_nothing_to_list_or_collect(stacks: Path) -> None:
    """Looking makes no folder."""
    assert (registry.living(stacks), registry.collect_dead(stacks)) == ([], [])
    assert not stacks.exists()


def test_records_are_their_owners_alone(stacks: Path) -> None:
    """They hold credentials and the guard's token."""
    with closing(registry.claim(stacks / "one")):
        registry.write(stacks / "one", {"token": "t"})
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (stacks, stacks / "one", stacks / "one/stack.json")]

    assert modes == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_record_is_an_empty_one(stacks: Path, content: bytes) -> None:
    """Half-written by a guard that was killed: the stack is collected all the same."""
    home = dead(stacks, "one")
    (home / "stack.json").write_bytes(content)

    assert registry.read(home) == {}
    assert registry.collect_dead(stacks) == [("one", [])]


def test_a_folder_without_a_lock_is_a_dead_guards(stacks: Path) -> None:
    """Killed between making the folder and locking it."""
    (stacks / "one").mkdir(parents=True)

    assert registry.collect_dead(stacks) == [("one", [])]


def test_what_a_record_names_is_ended(stacks: Path, orphan: process.ProcessId) -> None:
    """The processes of an embedded stack."""
    dead(stacks, "one", {"engine": "embedded", "pids": {"nats": list(orphan)}})

    assert registry.collect_dead(stacks) == [("one", [])]
    assert not orphan.alive()


def test_sessions_handed_over_are_ended(stacks: Path, orphan: process.ProcessId) -> None:
    """A caller's pytest, with all it started."""
    dead(stacks, "one", {"sessions": [list(orphan)]})

    assert registry.collect_dead(stacks) == [("one", [])]
    assert not orphan.alive()


def test_what_a_record_does_not_name_is_left_alone(stacks: Path, orphan: process.ProcessId) -> None:
    """Never by name or label: a later process with a recorded pid is somebody else's."""
    dead(stacks, "one", {"engine": "embedded", "pids": {"nats": [orphan.pid, "another time"]}})
    bystander = process.spawn(["sleep", "60"])
    try:
        registry.collect_dead(stacks)

        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_could_not_be_ended_is_tried_again(stacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is kept until nothing is left: a Docker engine that does not answer now does so later."""
    home = dead(stacks, "one", {"id": "one", "engine": "compose"})
    answers: list[list[str]] = [["container a"], []]
    monkeypatch.setattr(registry, "_engine_collect", lambda _: answers.pop(0))
    first = registry.collect_dead(stacks)

    assert (first, registry.read(home)["id"]) == ([("one", ["container a"])], "one")
    assert registry.collect_dead(stacks) == [("one", [])]
    assert not home.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A read-only cache, a full disk: with another folder to name."""
    (tmp_path / "file").touch()
    home = tmp_path / "file/stacks/one"

    with pytest.raises(EngineUnavailableError) as refused:
        registry.claim(home)

    assert str(refused.value) == (
        f"{home.parent}: cannot keep a stack's files here\n"
        "  why:      Not a directory\n"
        '  do:       make it writable, or name another folder: TESTBAY_CACHE_DIR="$HOME/.testbay"'
    )
