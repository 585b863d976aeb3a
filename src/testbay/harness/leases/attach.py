"""The stack from which a test process leases: that of `testbay run`, a kept one, or one it starts itself."""

import io
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from testbay import process, settings
from testbay.errors import BayError, LeftBehindError
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.leases import pool
from testbay.harness.leases.lease import Lease
from testbay.harness.leases.pool import Pool
from testbay.harness.stack import cachefolder, registry
from testbay.harness.world import patience
from testbay.output import Voice
from testbay.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbay.harness.stack.request import Request
    from testbay.harness.stack.stack import Stack
    from testbay.manifest.service import Manifest

STACK_VARIABLE = "TESTBAY_STACK"
_GONE_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A pool of leases on a stack. `close` returns the leases, then leaves or ends the stack."""

    pool: Pool
    close: Callable[[], None]


def attach(folder: Path, run: str, meanwhile: Callable[[], None]) -> Attachment:
    """Open a pool of leases on the stack that belongs to this test process; start a stack if none runs.

    Without an inherited stack, the nearest manifest above `folder`, that of the tests, counts. The workers of a `run`
    share one stack, which the first of them starts. `meanwhile` is called in another thread while servers start.

    Raises:
        BayError: No manifest was found, or the stack cannot be started.
    """
    chosen = settings.load()
    if home := chosen.environ.get(STACK_VARIABLE):
        return _closing(pool.open_pool(Path(home), chosen), lambda: None)
    from testbay.harness.stack.request import decide
    from testbay.manifest.project import find_project

    project = find_project(folder)
    request = decide(_service(folder, project), project, chosen)
    with process.signals_as_errors(), _one_at_a_time(chosen, run):
        stack = _joined(request, run) or _started(request, run, meanwhile)
    try:
        opened = pool.open_pool(stack.home, chosen)
    except BaseException:
        stack.close()
        raise
    return _closing(opened, stack.leave if run else stack.close)


@dataclass(frozen=True, kw_only=True)
class Borrowed:
    """A lease on a kept stack for a whole run; `stack` is that stack with the endpoints of the lease."""

    lease: Lease
    stack: "Stack"
    close: Callable[[], None]


def borrow(request: "Request") -> Borrowed | None:
    """Take a lease on the kept stack with this configuration; None if none runs, or it cannot be shared.

    Raises:
        MigrationError: The kept stack's migrations could not be brought up to date.
    """
    kept = None if request.settings.cold else _joined(request)
    if kept is None:
        return None
    with ExitStack() as undo:
        undo.callback(kept.leave)
        try:
            held = pool.open_pool(kept.home, request.settings)
            undo.callback(held.close)
            lease = held.take()
        except BayError:
            return None  # the stack has just ended, or all its leases are held: the run starts its own
        own: dict[str, Endpoint] = {name: lease.slot(name).endpoint for name in held.tenancy["endpoints"]}
        if any(own[name] == kept.endpoints[name] for name in own):
            return None  # an undivided server would be shared with all other users of the stack
        end = undo.pop_all().close
    return Borrowed(lease=lease, stack=replace(kept, endpoints=kept.endpoints | own), close=end)


def await_end(run: str) -> None:
    """Wait until the stack of a run with several workers is gone: its guard ends it after the last worker.

    Raises:
        LeftBehindError: It is still there after ten seconds, and cannot be ended.
    """
    stacks = settings.load().stacks_dir
    ours: list[str] = []
    for _ in patience(_GONE_WITHIN_S, longest_pause_s=0.01):
        ours = [record["id"] for record in registry.living(stacks) if record.get("run") == run]
        if not ours:
            return
    if left := [thing for stack_id in ours for thing in registry.end_silent_guard(stacks / stack_id)]:
        raise LeftBehindError(
            f"stack {', '.join(ours)} did not end: {', '.join(left)} is left",
            why="its guard did not answer, and what it started is not ours to end or hangs in the kernel",
            todo="testbay ps; testbay gc",
        )


def _closing(opened: Pool, leave: Callable[[], None]) -> Attachment:
    def close() -> None:
        opened.close()
        leave()

    return Attachment(pool=opened, close=close)


def _service(folder: Path, project: Path) -> "Manifest":
    """Find the service whose folder contains the tests, else the project's only service."""
    from testbay.manifest.files import manifest_file
    from testbay.manifest.load import load_manifest
    from testbay.manifest.project import find_service

    for candidate in (folder, *folder.parents):
        if manifest_file(candidate):
            return load_manifest(candidate)
        if candidate == project:
            break
    todo = (
        f"have the tests below the folder of one of them, or write a testbay.toml for them: cd {folder} && testbay init"
    )
    return find_service(None, project, todo=todo)


@contextmanager
def _one_at_a_time(chosen: Settings, run: str) -> "Iterator[None]":
    cachefolder.make(chosen.cache_dir)
    chosen.stacks_dir.mkdir(exist_ok=True, mode=0o700)
    with registry.exclusive(chosen.stacks_dir / ".starting.lock") if run else nullcontext():
        yield


def _joined(request: "Request", run: str = "") -> "Stack | None":
    from testbay.harness.stack import prepare
    from testbay.harness.stack import stack as stacks

    stack = stacks.join(request, run=run)
    if stack is not None:
        try:
            prepare.catch_up(stack)
        except BaseException:
            stack.leave()
            raise
    return stack


def _started(request: "Request", run: str, meanwhile: Callable[[], None]) -> "Stack":
    from testbay.harness.stack import prepare, prepared

    prepare.decide_model(request)
    threading.Thread(target=meanwhile, name="testbay-meanwhile").start()
    # The first lease sets the migrated database aside: no other process knows yet where that is.
    stack = prepared.start(request, prepared.Stages(Voice(io.StringIO())))
    try:
        stack.note({"run": run})
        stack.await_noted("run", run)  # where the pool and the next worker look
    except BaseException:
        stack.stop()
        raise
    return stack
