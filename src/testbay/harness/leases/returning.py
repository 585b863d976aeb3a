"""Returning a lease: all servers clean their slots at the same time, and the last answers can wait."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from testbay.harness import world
from testbay.harness.dependencies.slots import Returned, Slot, Steps


class Returning:
    """Has each server clean its slot of one lease after a test, all at the same time.

    `foreign` says that a package brings one of the dependencies: its code is run with Python's real functions.
    """

    def __init__(self, slots: Sequence[Slot], *, foreign: bool) -> None:
        # Ours use nothing that a test can fake, but for new connections: see `Wire`.
        self._world: Callable[[], AbstractContextManager[None]] = world.real if foreign else nullcontext
        self._slots = slots
        self._found: dict[int, Returned] = {}
        self._at_work: dict[int, Steps] = {index: slot.take_back() for index, slot in enumerate(slots)}

    def left_open(self) -> list[str]:
        """Describe what the test left open; the servers may still be busy afterwards."""
        waiting = list(reversed(self._at_work))  # the first one, a database, has been told before and works longest
        with self._world():
            while waiting:
                waiting = [index for index in waiting if not self._step(index)]
        return [text for _, returned in sorted(self._found.items()) for text in returned.left]

    def _step(self, index: int) -> bool:
        """Take one step of a slot; return whether no further step is needed now."""
        try:
            return next(self._at_work[index]) is True
        except StopIteration as done:
            self._found[index] = done.value
        except Exception:  # noqa: BLE001 - also what a test has put in the place of a function: it is made anew
            self._found[index] = Returned(ready=False)
        del self._at_work[index]
        return True

    @property
    def spoilt(self) -> list[Slot]:
        """The slots that must be remade, as far as that is known."""
        return [slot for index, slot in enumerate(self._slots) if index in self._found and not self._found[index].ready]

    def finish(self) -> list[Slot]:
        """Wait for the last answers; return the slots that must be remade."""
        with self._world():
            while self._at_work:
                for index in list(self._at_work):
                    self._step(index)
        return self.spoilt
