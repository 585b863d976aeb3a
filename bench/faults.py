"""What the proxy of `faults` costs while nothing is broken: round trips and throughput, beside the bare loopback.

Usage: .venv/bin/python bench/faults.py [--rounds 7] [--trips 2000] [--megabytes 1000]

Each round goes both ways in turn, so a slow moment hits both; the table shows medians of the rounds. The servers (an
echo, one that only reads, and those of the embedded engine) are processes of their own, as the proxy is.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import redis

from testbay import settings
from testbay.harness.dependencies import ROOMS
from testbay.harness.faults.inject import Faults, Proxies
from testbay.harness.stack import request, stack
from testbay.manifest.load import load_manifest

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "tests" / "system" / "project"
PIECE = memoryview(bytes(256 << 10))
# Says its port, then serves one client after another.
SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
buffer = bytearray(256 << 10)
while True:
    client, _ = server.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while count := client.recv_into(buffer):
        if sys.argv[1] == "echo":
            client.sendall(buffer[:count])
    client.sendall(b"." * (sys.argv[1] == "read"))
    client.close()
"""

Trip = Callable[[], object]
Trips = Callable[[int], contextlib.AbstractContextManager[Trip]]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns each way gets (default 7)")
    parser.add_argument("--trips", type=int, default=2000, help="round trips in a turn (default 2000)")
    parser.add_argument("--megabytes", type=int, default=1000, help="bytes in a turn (default 1000)")
    asked = parser.parse_args()
    print(f"{'what':<42} {'direct':>10} {'through':>10}   costs       target")
    with contextlib.ExitStack() as running:
        targets = {name: running.enter_context(server(name)) for name in ("echo", "read")}
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="testbay-bench-")))
        real = running.enter_context(servers(folder))
        targets |= {name: endpoint.port for name, endpoint in real.endpoints.items()}
        proxies = running.enter_context(contextlib.closing(Proxies(folder / "proxy.log", real.own)))
        ways = Faults(proxies, targets, seed=1)
        urls = {name: lambda port, name=name: url(real, name, port) for name in real.endpoints}
        kinds: dict[str, tuple[str, Trips]] = {
            "echo": ("32 bytes, echoed", echoing),
            "dragonfly": ("GET, redis-py", lambda port: getting(urls["dragonfly"](port))),
            "postgres": ("SELECT 1, psycopg", lambda port: selecting(urls["postgres"](port))),
        }
        for name, (what, trips) in kinds.items():
            round_trips(what, trips, (targets[name], ways.of(name).port), asked)
        throughput((targets["read"], ways.of("read").port), asked)


@contextlib.contextmanager
def server(kind: str) -> Iterator[int]:
    """A small server of our own; its port."""
    child = subprocess.Popen([sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    yield int(child.stdout.readline())
    child.kill()
    child.communicate()


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[stack.Stack]:
    """PostgreSQL and the server that stands in for Dragonfly."""
    project = folder / "project"
    shutil.copytree(TEMPLATE, project)
    shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
    environ = {**os.environ, "TESTBAY_CACHE_DIR": str(folder / "cache")}
    chosen = settings.load(engine="embedded", environ=environ)
    started = stack.start(request.decide(load_manifest(project / "services" / "shop"), project, chosen))
    yield started
    started.stop()


def url(real: stack.Stack, name: str, port: int) -> str:
    """The address of a dependency on another port."""
    there = real.endpoints[name]
    return ROOMS[name].url(type(there)(**{**vars(there), "port": port}))


@contextlib.contextmanager
def echoing(port: int) -> Iterator[Trip]:
    """The barest client there is."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield lambda: (client.sendall(b"x" * 32), client.recv(64))


@contextlib.contextmanager
def getting(address: str) -> Iterator[Trip]:
    """A key that is not there."""
    with redis.Redis.from_url(address) as client:
        yield lambda: client.get("key")


@contextlib.contextmanager
def selecting(address: str) -> Iterator[Trip]:
    """The shortest query."""
    with psycopg.connect(address, autocommit=True) as connection:
        yield lambda: connection.execute("SELECT 1").fetchone()


def round_trips(what: str, trips: Trips, ports: tuple[int, int], asked: argparse.Namespace) -> None:
    """One line of the table: the median of each way, and what is added."""
    found: dict[int, list[float]] = {port: [] for port in ports}
    for _ in range(asked.rounds):
        for port, medians in found.items():
            with trips(port) as trip:
                medians.append(statistics.median(seconds(trip) for _ in range(asked.trips)) * 1000)
    there, around = (statistics.median(medians) for medians in found.values())
    print(f"{what:<42} {there:7.3f} ms {around:7.3f} ms   +{around - there:.3f} ms   <= +0.150 ms", flush=True)


def seconds(call: Callable[[], object]) -> float:
    """How long it took."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def throughput(ports: tuple[int, int], asked: argparse.Namespace) -> None:
    """The last line: how much of the loopback's throughput is left."""
    found: dict[int, list[float]] = {port: [] for port in ports}
    for _ in range(asked.rounds):
        for port, speeds in found.items():
            with socket.create_connection(("127.0.0.1", port)) as client:
                speeds.append(asked.megabytes / seconds(lambda client=client: push(client, asked.megabytes)))
    there, around = (statistics.median(speeds) for speeds in found.values())
    print(f"{'one way, 256 KiB at a time':<42} {there:5.0f} MB/s {around:5.0f} MB/s   {around / there:4.0%}", end="")
    print("        >= 50%")


def push(client: socket.socket, megabytes: int) -> None:
    """So many bytes, until the other side has read them all."""
    for _ in range(megabytes * 1_000_000 // len(PIECE)):
        client.sendall(PIECE)
    client.shutdown(socket.SHUT_WR)
    client.recv(1)


if __name__ == "__main__":
    main()
