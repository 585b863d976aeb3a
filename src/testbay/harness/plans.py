"""The plans for a guard. Light on imports: its start-up time is a number, and `dataclasses` alone is a sixth of it."""

import os
import signal
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

PORT = "{port}"  # stands for the port the guard could hold, in a process plan's argv and in replay settings


class Preparation(TypedDict):
    """A command that runs to completion before a server starts; it reads `stdin`."""

    argv: list[str]
    stdin: NotRequired[str]


class ProcessPlan(TypedDict):
    """The plan of one server for the embedded engine.

    `{port}` in argv becomes the port that the guard could hold. `prepare` makes the folder `data`, unless the
    `template` (a file of the cache, empty for none) can be copied there, or `initial`, what `prepare` made before.
    `stop_signal` discards the data, `pause_signal` keeps it. A `caged` server runs as an ordinary user, writes only its
    home and reads `reads` (see engines.sandbox).
    """

    name: str
    home: str
    log: str
    cwd: str
    port: int
    fixed_port: bool
    files: dict[str, str]
    prepare: list[Preparation]
    data: str
    template: str
    initial: str
    argv: list[str]
    env: dict[str, str]
    caged: bool
    reads: list[str]
    stop_signal: int
    pause_signal: int


def process_plan(
    name: str,
    home: Path,
    argv: list[str],
    *,
    port: int,
    stop_signal: int,
    pause_signal: int = signal.SIGTERM,
    files: dict[str, str] | None = None,
    prepare: list[Preparation] | None = None,
    env: dict[str, str] | None = None,
    reads: list[str] | None = None,
) -> ProcessPlan:
    """Plan a server that works in its own folder and logs beside it; with `reads` (folders) it runs in a sandbox."""
    return {
        "name": name,
        "home": str(home),
        "log": str(home.with_suffix(".log")),
        "cwd": str(home),
        "port": port,
        "fixed_port": False,
        "files": files or {},
        "prepare": prepare or [],
        "data": str(home / "data"),
        "template": "",
        "initial": "",
        "argv": argv,
        "env": env or {},
        "caged": reads is not None,
        "reads": reads or [],
        "stop_signal": stop_signal,
        "pause_signal": pause_signal,
    }


# How many leases a stack has. NATS is given an account for each at its start: 256 of them would cost it 50 ms.
LEASES = max(32, 4 * (os.cpu_count() or 1))
HOME = "{home}"  # stands for the folder of a further server, in the plan of a tenancy


class Configured(TypedDict):
    """A compose service started with a configuration file of ours, and the command that names this file.

    `environment` is added to the service's own, so that what the compose file runs in that container can log in.
    """

    service: str
    command: list[str]
    target: str
    content: str
    environment: dict[str, str]


class Published(TypedDict):
    """A port of a compose service that callers need to reach."""

    name: str
    service: str
    container: int
    port: int
    fixed: bool


class ComposePlan(TypedDict):
    """The plan for the compose engine: a compose document, into which the guard writes the ports.

    `dependencies` maps service keys to our names for dependencies; `helpers` are further ports to publish, which
    callers are not told; `env` are the values that the document takes from the environment.
    """

    document: dict[str, Any]
    folder: str
    dependencies: dict[str, str]
    ports: list[Published]
    helpers: list[Published]
    env: dict[str, str]


def name_of(stack_id: str) -> str:
    """Name a stack's servers and its compose project."""
    return f"testbay-{stack_id}"


class StackPlan(TypedDict):
    """The plan of a stack, which its guard reads as JSON at start-up."""

    id: str
    home: str
    data_dir: str
    key: str
    engine: str
    reason: str
    service: str
    project: str
    owner: str
    watch: list[tuple[int, str]]
    idle_s: float
    logs_dir: str
    compose: ComposePlan
    processes: list[ProcessPlan]


class Tenancy(TypedDict):
    """The facts that a test process needs to lease on a running stack; in its record, which only its owner may read.

    `endpoints` are the fields of `Endpoint`; `env` is the manifest's mapping, `fixed` is equal for all leases;
    `further` plans a server for one lease, where a dependency has such; `logs` are the stack's, by name; `preload` is
    the manifest's; `secrets` are names of variables.
    """

    engine: str
    reason: str
    service: str
    root: str
    start: str
    ready: str
    preload: NotRequired[str | list[str]]  # not in the record of a stack that an older testbay keeps
    endpoints: dict[str, dict[str, Any]]
    env: dict[str, str | Literal[False]]
    fixed: dict[str, str]
    streams: list[dict[str, Any]]
    further: dict[str, ProcessPlan]
    logs: dict[str, str]
    secrets: list[str]


def servers(tenancy: Tenancy) -> str:
    """The servers in words: `embedded: PostgreSQL 18.6, Dragonfly 9.1.2 (valkey 9.1 stand-in), NATS 2.15.1`."""
    found = tenancy["endpoints"].values()
    said = (f"{e['title']} {e['version']}" + (f" ({e['note']})" if e["note"] else "") for e in found)
    return f"{tenancy['engine']}: {', '.join(said) or 'no dependency'}"


def filled(plan: ProcessPlan, mark: str, text: str) -> dict[str, Any]:
    """Replace every `mark` in a plan."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(mark, text)
        if isinstance(value, list):
            return [fill(item) for item in value]
        return {key: fill(item) for key, item in value.items()} if isinstance(value, dict) else value

    return {key: fill(value) for key, value in plan.items()}
