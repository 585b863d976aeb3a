"""The commands for stacks: up, exec, migrate, down, ps and gc."""

import io
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from testbay import process
from testbay.errors import EngineUnavailableError, InterruptedRunError, LeftBehindError, ManifestError
from testbay.harness.dependencies.postgres.server import PRISTINE_LOCK
from testbay.harness.stack import lifeline, prepare, prepared, registry, usercommand
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.logs import Logs, renamed
from testbay.harness.stack.migrations.migrated import OF_LEASES, entries
from testbay.harness.stack.request import Request, decide
from testbay.harness.stack.stack import Stack
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.secrets import known
from testbay.settings import Settings
from testbay.text import age

_ENDS_WITHIN_S = 15.0
_LAST_LINES = 5  # of each log, when a person watches `testbay up`
_LOOK_S = 0.2


def execute(
    manifest: Manifest,
    project: Path,
    settings: Settings,
    voice: Voice,
    command: Sequence[str],
    *,
    migrate: bool,
) -> int:
    """Run a command in the environment of a ready stack; return its exit code (128 + N for signal N)."""
    with process.signals_as_errors():
        # A template holds a migrated database, which is not what --no-migrate asks for.
        wanted = settings if migrate else replace(settings, cold=True)
        request = decide(manifest, project, wanted, voice.progress)
        usercommand.refuse_unknown(command, request)
        stack = _open(request, voice, migrate=migrate)
        try:
            return usercommand.run(stack, command)
        finally:
            stack.close()


def up(
    manifest: Manifest, project: Path, settings: Settings, voice: Voice, exports: Voice, *, idle_s: float | None
) -> None:
    """Start a migrated stack; hold it until Ctrl-C, or leave it running until it was idle for `idle_s` seconds.

    `exports` gets only the variables, for a shell. On a terminal, a stack that is held shows its ports and its servers'
    logs.
    """
    with process.signals_as_errors():
        stack = _open(decide(manifest, project, settings, voice.progress), voice, migrate=True)
        try:
            for name, value in stack.environment().items():
                exports.say(f"export {name}={shlex.quote(value)}")
            if idle_s is not None:
                prepare.set_aside(stack)
                stack.keep(idle_s)
        except BaseException:
            stack.close()
            raise
        if idle_s is None:
            names = renamed((one.name, one.title) for one in stack.endpoints.values())
            _hold(stack, voice, Logs([stack.home], voice, known.of(project, settings.environ), names=names))
        else:
            stack.leave()
            voice.say(f"# stack {stack.id} stays until unused for {idle_s:g} s; testbay down {stack.id} ends it")


def _open(request: Request, voice: Voice, *, migrate: bool) -> Stack:
    """Join the kept stack with this configuration, or start a new one; migrate it unless told otherwise."""
    model = prepare.decide_model(request)
    if kept := stacks.join(request):
        voice.detail(f"stack {kept.id}: found warm")
        if migrate and request.manifest.migrate:  # no hash covers a command: it knows itself what is left to do
            prepare.prepare(kept, voice)
        return kept
    prepare.announce(request, voice, model)
    return prepared.start(request, prepared.Stages(voice, migrates=migrate))


def _hold(stack: Stack, voice: Voice, logs: Logs) -> None:
    """Wait until Ctrl-C, then end the stack; on a terminal, show the servers' logs."""
    try:
        with process.signals_as_errors():
            for endpoint in stack.endpoints.values() if voice.is_watched else ():
                voice.say(f"# {endpoint.title} {endpoint.version} on {endpoint.host}:{endpoint.port}")
            voice.say("# Ctrl-C ends it; --keep leaves it running")  # from here on it does
            if voice.is_watched:
                logs.last(_LAST_LINES)
            while True:
                stack.check(_LOOK_S if voice.is_watched else 3600)
                if voice.is_watched:
                    logs.catch_up()
    except InterruptedRunError:
        voice.say("# ending it")
    finally:
        stack.close()


def migrate(manifest: Manifest, project: Path, settings: Settings, voice: Voice) -> None:
    """Apply what a kept stack lacks; an applied migration that was changed is refused."""
    request = decide(manifest, project, settings, voice.progress)
    with process.signals_as_errors():
        stack = stacks.join(request, any_key=True)
        if stack is None:
            raise EngineUnavailableError(
                f"no kept stack of {manifest.service} runs",
                todo=f"testbay up {manifest.service} --keep (it migrates too)",
            )
        try:
            with voice.step(f"Migrate stack {stack.id}"):
                record = registry.read(stack.home)
                applied = entries(record)
                with registry.exclusive(stack.home / PRISTINE_LOCK):
                    of_leases, silent = entries(record, OF_LEASES) or applied, Voice(io.StringIO())
                    prepare.prepare(prepare.pristine(stack), silent, of_leases, noted=OF_LEASES)
                prepare.prepare(stack, voice, applied)
            stack.note({"key": request.key})
            stack.await_noted("key", request.key)  # where the next command looks for it
        finally:
            stack.leave()


def down(which: str | None, project: Path, settings: Settings, voice: Voice) -> None:
    """End kept stacks by service, or all of this project; given an id, any stack, also one in use."""
    records = [r for r in registry.living(settings.stacks_dir) if r.get("project") == str(project)]
    chosen = [r for r in records if which == r["id"] or (r.get("idle_s") and which in (None, r["service"]))]
    if which is not None and not chosen:
        known = ", ".join(r["id"] for r in records) or "none"
        raise ManifestError(
            f"no stack {which!r} of this project runs", why=f"running: {known}", todo="testbay ps shows all"
        )
    for record in chosen:
        _end(record, settings)
        voice.say(f"ended {record['id']}")
    if not chosen:
        voice.say("no kept stack of this project runs")


def _end(record: dict[str, Any], settings: Settings) -> None:
    line = lifeline.connect(record, settings)
    left = None if line is None else _ends(line)
    if left is None:
        left = registry.end_silent_guard(settings.stacks_dir / record["id"])
    if left:
        raise LeftBehindError(
            f"stack {record['id']} did not end: {', '.join(left)} is left",
            why="what it started is not ours to end, or hangs in the kernel",
            todo="testbay ps; testbay gc",
        )


def _ends(line: lifeline.Lifeline) -> list[str] | None:
    """Tell a guard to stop, and return what it could not end or remove; None if it does not answer in time."""
    line.say({"do": "stop"})
    left: list[str] = []
    try:
        while events := line.events(_ENDS_WITHIN_S):
            left += [thing for event in events for thing in event.get("left", [])]
    except lifeline.GuardGoneError:
        return left
    finally:
        line.let_go()
    return None


def ps(settings: Settings, voice: Voice) -> None:
    """Print a table of this user's running stacks."""
    records = registry.living(settings.stacks_dir)
    if not records:
        voice.say("no stack runs")
        return
    rows = [("STACK", "STATE", "AGE", "ENGINE", "PORTS", "OWNER"), *(_row(record) for record in records)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        voice.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(record: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    names = renamed((one["name"], one["title"]) for one in record.get("endpoints", {}).values())
    ports = " ".join(f"{names.get(name, name)}:{port}" for name, port in record.get("ports", {}).items())
    return (
        record["id"],
        "kept" if record.get("idle_s") else str(record.get("state", "?")),
        age(time.time() - record["created"]),
        record["engine"],
        ports,
        record["owner"],
    )


def gc(settings: Settings, voice: Voice) -> None:
    """Collect every stack whose guard is dead.

    Raises:
        LeftBehindError: Something could not be removed.
    """
    collected = registry.collect_dead(settings.stacks_dir)
    for stack_id, left in collected:
        voice.say(f"collected {stack_id}" + (f", but could not remove {', '.join(left)}" if left else ""))
    if not collected:
        voice.say("nothing to collect")
    if stuck := [thing for _, left in collected for thing in left]:
        raise LeftBehindError(f"could not remove {', '.join(stuck)}", todo="end or remove it as its owner")
