"""A stack of one's own from its start to its end: started, described, prepared for its tests, used, ended."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from testbay.harness.stack import prepare
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.logcopies import Copies
from testbay.harness.stack.request import Request
from testbay.harness.stack.stack import Stack
from testbay.output import Voice


class Stages:
    """The stages of a stack: which there are, and who hears of them; a subclass keeps a record, or says less.

    `copies` keeps the logs, which else end with the stack. `migrates`: make the streams and apply the migrations.
    `sets_aside`: keep the migrated database for leases to be copies of.
    """

    def __init__(
        self, voice: Voice, *, copies: Copies | None = None, migrates: bool = True, sets_aside: bool = False
    ) -> None:
        self.voice = voice
        self.copies = copies
        self.migrates = migrates
        self.sets_aside = sets_aside

    def starting(self, asked: Request) -> AbstractContextManager[None]:
        """Stand around the start."""
        return self.voice.step(f"Start {asked.said}")

    def started(self, stack: Stack) -> None:
        """Hear that every dependency has answered."""
        prepare.describe(stack, self.voice)

    def migrating(self) -> AbstractContextManager[None]:
        """Stand around the migrations."""
        return nullcontext()

    def migrated(self, names: list[str]) -> None:
        """Hear which migrations the database has now."""

    def end(self, stack: Stack) -> None:
        """End the stack: after its use, or because it could not be prepared."""
        stack.close()


def start(asked: Request, stages: Stages) -> Stack:
    """Start the stack that is asked for, and prepare it; one that cannot be prepared is ended.

    Raises:
        BayError: It cannot be started or prepared.
    """
    with stages.starting(asked):
        stack = stacks.start(asked, copies=stages.copies, progress=stages.voice.progress)
        stages.started(stack)
    try:
        if stages.migrates:
            with stages.migrating():
                stages.migrated(prepare.prepare(stack, stages.voice))
                if stages.sets_aside:
                    prepare.set_aside(stack)
    except BaseException:
        stages.end(stack)
        raise
    return stack


@contextmanager
def prepared(asked: Request, stages: Stages) -> Iterator[Stack]:
    """Prepare a stack for the length of a block: the stack ends with it.

    Raises:
        BayError: It cannot be started, prepared or ended.
    """
    stack = start(asked, stages)
    try:
        yield stack
    finally:
        stages.end(stack)
