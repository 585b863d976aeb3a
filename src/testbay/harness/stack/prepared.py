"""The life of a stack for one caller: started, described, prepared, used, ended."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from testbay.harness.stack import prepare
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.logcopies import Copies
from testbay.harness.stack.migrations.migrated import Migrated
from testbay.harness.stack.request import Request
from testbay.harness.stack.stack import Stack
from testbay.output import Voice


class Stages:
    """Callbacks for the stages of a stack's life, to be overridden for a record or less output.

    `copies` keeps the logs, which otherwise vanish with the stack. `migrates`: create the streams and apply the
    migrations. `sets_aside`: keep a copy of the migrated database for leases.
    """

    def __init__(
        self, voice: Voice, *, copies: Copies | None = None, migrates: bool = True, sets_aside: bool = False
    ) -> None:
        self.voice = voice
        self.copies = copies
        self.migrates = migrates
        self.sets_aside = sets_aside

    def starting(self, request: Request) -> AbstractContextManager[None]:
        return self.voice.step(f"Start {request.said}")

    def started(self, stack: Stack) -> None:
        """Every dependency is ready: describe them."""
        prepare.describe(stack, self.voice)

    def migrating(self) -> AbstractContextManager[None]:
        return nullcontext()

    def migrated(self, done: Migrated) -> None:
        """The database now has these migrations."""

    def end(self, stack: Stack) -> None:
        """End the stack, after its use or because it could not be prepared."""
        stack.close()


def start(request: Request, stages: Stages) -> Stack:
    """Start and prepare the requested stack; end it if it cannot be prepared.

    Raises:
        BayError: It cannot be started or prepared.
    """
    with stages.starting(request):
        stack = stacks.start(request, copies=stages.copies, progress=stages.voice.progress)
        stages.started(stack)
    try:
        if stages.migrates:
            with stages.migrating():
                done = prepare.prepare(stack, stages.voice)
                if stages.sets_aside:
                    prepare.set_aside(stack)
            stages.migrated(done)
    except BaseException:
        stages.end(stack)
        raise
    return stack


@contextmanager
def prepared(request: Request, stages: Stages) -> Iterator[Stack]:
    """Start and prepare a stack for a block, and end it afterwards.

    Raises:
        BayError: It cannot be started, prepared or ended.
    """
    stack = start(request, stages)
    try:
        yield stack
    finally:
        stages.end(stack)
