import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.slots import Returned, Steps
from testbay.harness.leases.returning import Returning


class Part:
    """Takes the steps it is told to, then returns or raises; `taken` counts them, `seen` is the function it found."""

    log: Path | None = None
    endpoint = Endpoint(name="part", title="Part", host="localhost", port=1)

    def __init__(self, steps: list[bool | None], end: Returned | Exception) -> None:
        self.steps, self.end = steps, end
        self.taken = 0
        self.seen: object = None

    def take_back(self) -> Steps:
        for step in self.steps:
            self.taken += 1
            yield step
        self.seen = socket.create_connection
        if isinstance(self.end, Exception):
            raise self.end
        return self.end

    def remake(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


LEFT = Returned(("a session",), ready=False)


@pytest.mark.parametrize(
    ("end", "spoilt"), [(Returned(), False), (Returned(ready=False), True), (OSError("refused"), True)]
)
def test_what_can_wait_is_heard_when_the_lease_is_wanted(end: Returned | Exception, spoilt: bool) -> None:  # noqa: FBT001
    """A look ends at a step that says so; whether the part can be used again is known afterwards."""
    part = Part([None, True, None], end)
    returning = Returning([part], foreign=False)

    assert (returning.left_open(), part.taken, returning.spoilt) == ([], 2, [])
    assert (returning.finish(), part.taken) == ([part] if spoilt else [], 3)


def test_what_tests_left_open_is_told_in_the_order_of_the_parts() -> None:
    """Whichever server answers last."""
    slow, quick = Part([None, None], LEFT), Part([], Returned(("a client",)))
    returning = Returning([slow, quick], foreign=False)

    assert (returning.left_open(), returning.spoilt) == (["a session", "a client"], [slow])


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The function that the library really has, while a test has another in its place."""
    real = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", print)
    yield real
    monkeypatch.undo()


def test_the_part_of_a_package_is_asked_in_the_real_world(faked: object) -> None:
    """Such a package cannot know what tests put in the place of a function."""
    part = Part([None], Returned())
    Returning([part], foreign=True).left_open()

    assert part.seen is faked
    assert vars(socket)["create_connection"] is print
