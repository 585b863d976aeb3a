"""How fast HTTP checks are asked: beside the Prometheus blackbox exporter and curl, of one server, in turns.

Usage: .venv/bin/python bench/checks.py [--rounds 7] [--checks 1000]

Everybody asks the same nginx (one process, a constant answer of 16 bytes) for a path of its own for each check, on a
connection of its own, and wants status 200 and `"status": "ok"` in the body; curl looks at the status alone.
testbay and the exporter ask 16 at once. The exporter serves already and is asked over 16 connections that stay open;
testbay's whole command includes the start of Python and reading a manifest of that many checks. A turn of each is left
out first, then the table shows the medians of the rounds.

CPU is that of the contestant, without the server's, which has a column of its own. The exporter's is its own process
alone: what asks it is another, shown below. nginx and the exporter are Debian's packages, unpacked into a temporary
folder; nothing is installed.
"""

import argparse
import contextlib
import os
import re
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.pop(0)  # this folder: in it `secrets` would be a measurement, not Python's module

from testbay.manifest.load import load_manifest
from testbay.manifest.service import Manifest
from testbay.production.checks import runner

AT_ONCE = runner.CONCURRENCY
PACKAGES = ("nginx", "prometheus-blackbox-exporter")
# In the foreground and one process, so that its CPU can be read; no folder of the machine's is touched.
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr error;
events { worker_connections 512; }
http {
    access_log off; keepalive_timeout 0; default_type application/json;
    client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
    server { listen 127.0.0.1:PORT; location / { return 200 '{"status": "ok"}'; } }
}
"""
MODULES = """
modules:
  ok:
    prober: http
    timeout: 10s
    http:
      preferred_ip_protocol: ip4
      valid_status_codes: [200]
      fail_if_body_not_matches_regexp: ['"status": ?"ok"']
"""
LOOP = 'for ((n = 0; n < $2; n++)); do curl --silent --fail --output /dev/null "$1/c$n" || exit 1; done'


@dataclass(kw_only=True)
class Turn:
    """What asking all checks once took."""

    seconds: float
    cpu_s: float
    server_cpu_s: float = 0.0


Ask = Callable[[], Turn]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns each contestant gets (default 7)")
    parser.add_argument("--checks", type=int, default=1000, help="checks in a turn (default 1000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="testbay-bench-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        unpack(folder)
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(NGINX.replace("PORT", str(port)), encoding="utf-8")
        nginx = [folder / "usr/sbin/nginx", "-p", f"{folder}/", "-c", config, "-e", "stderr"]
        server = running.enter_context(serving(nginx, port))
        exporter_port = free_port()
        (folder / "modules.yml").write_text(MODULES, encoding="utf-8")
        flags = [f"--config.file={folder / 'modules.yml'}", f"--web.listen-address=127.0.0.1:{exporter_port}"]
        program = folder / "usr/bin/prometheus-blackbox-exporter"
        exporter = running.enter_context(serving([program, *flags, "--log.level=error"], exporter_port))
        own = Path(write_manifest(folder / "shop", port, asked.checks))
        manifest = load_manifest(own)
        url = f"http://127.0.0.1:{port}"
        clients: list[float] = []
        contestants: dict[str, Ask] = {
            "testbay check --json, start to exit": lambda: testbay(own),
            "testbay's runner alone": lambda: alone(manifest),
            "blackbox exporter, asked for /probe": lambda: probes(exporter, exporter_port, url, asked.checks, clients),
            "curl, one process for each check": lambda: curl(["bash", "-c", LOOP, "-", url, str(asked.checks)]),
            "curl --parallel, one process for all": lambda: curl(parallel(url, asked.checks)),
        }
        report(take_turns(contestants, server, asked.rounds), asked.checks)
        client_ms = statistics.median(clients) / asked.checks * 1000
        print(f"who asks the exporter takes {client_ms:.2f} ms CPU for each check; {os.cpu_count()} cores in all")


def unpack(folder: Path) -> None:
    """Debian's packages, into the folder and nowhere else."""
    apt = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES]
    subprocess.run(apt, cwd=folder, check=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def serving(argv: list[Path | str], port: int) -> Iterator[psutil.Process]:
    """A server of that port, from its first answer until the block ends."""
    with subprocess.Popen(argv) as child:
        ends = time.monotonic() + 30
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if child.poll() is not None:
                        sys.exit(f"{argv[0]} ended with exit code {child.returncode}")
                    if time.monotonic() > ends:
                        sys.exit(f"{argv[0]} did not answer on port {port} within 30 s")
                    time.sleep(0.01)
            yield psutil.Process(child.pid)
        finally:
            child.kill()


def write_manifest(folder: Path, port: int, count: int) -> Path:
    """A project with that many checks."""
    folder.mkdir()
    lines = ['service = "shop"', "[target.here]", f'base_url = "http://127.0.0.1:{port}"']
    for number in range(count):
        lines += ["[[check]]", f'id = "c{number}"', 'kind = "http"', f'get = "/c{number}"']
        lines += ['expect = ["status == 200", "json.status == \'ok\'"]']
    (folder / "testbay.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def take_turns(contestants: dict[str, Ask], server: psutil.Process, rounds: int) -> dict[str, list[Turn]]:
    """Everybody in turn, so that a slow moment hits all alike; the first round is for warming up."""
    found: dict[str, list[Turn]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, ask in contestants.items():
            before = cpu_s(server)
            turn = ask()
            turn.server_cpu_s = cpu_s(server) - before
            found[name] += [turn] if number else []
    return found


def cpu_s(process: psutil.Process) -> float:
    """What it has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def of_children(argv: list[str], **options: object) -> Turn:
    """A command with everything it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{argv[:3]}: exit code {done.returncode}\n{done.stderr}")
    return Turn(seconds=seconds, cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def testbay(folder: Path) -> Turn:
    """As it is typed."""
    return of_children([sys.executable, "-m", "testbay", "check", "--phase", "post-deploy", "--json"], cwd=folder)


def alone(manifest: Manifest) -> Turn:
    """Without start and manifest."""
    plan = runner.Plan(
        service="shop",
        root=manifest.root,
        phase="post-deploy",
        checks=manifest.check,
        target=manifest.target["here"],
        environ=dict(os.environ),
    )
    began, cpu = time.perf_counter(), time.process_time()
    found = runner.run(plan)
    turn = Turn(seconds=time.perf_counter() - began, cpu_s=time.process_time() - cpu)
    if found.exit_code:
        sys.exit(f"the runner found {found.results[0]}")
    return turn


def curl(argv: list[str]) -> Turn:
    """Curl, however it is called."""
    return of_children(argv)


def parallel(url: str, count: int) -> list[str]:
    """All addresses for one curl, 16 at once."""
    curl_options = ["--silent", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", str(AT_ONCE)]
    return ["curl", *curl_options, "--output", "/dev/null", f"{url}/c[0-{count - 1}]"]


def probes(exporter: psutil.Process, port: int, url: str, count: int, clients: list[float]) -> Turn:
    """As many at once as testbay, each connection kept; the barest client there is."""
    before, cpu, began = cpu_s(exporter), time.process_time(), time.perf_counter()
    asked, done = 0, 0
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as open_ones:

        def ask(connection: socket.socket) -> None:
            nonlocal asked
            path = f"/probe?module=ok&target={url}/c{asked}"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            heard[connection] = b""
            asked += 1

        heard: dict[socket.socket, bytes] = {}
        for _ in range(AT_ONCE):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ)
            ask(connection)
        while done < count:
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                heard[connection] += connection.recv(65536)
                if not heard[connection].endswith(b"\r\n0\r\n\r\n"):
                    continue
                if b"\nprobe_success 1\n" not in re.sub(
                    rb"\r\n[0-9a-f]+\r\n", b"", heard[connection]
                ):  # between chunks
                    sys.exit(heard[connection].decode())
                done += 1
                if asked < count:
                    ask(connection)
    clients.append(time.process_time() - cpu)
    return Turn(seconds=time.perf_counter() - began, cpu_s=cpu_s(exporter) - before)


def report(found: dict[str, list[Turn]], count: int) -> None:
    """The table."""
    medians = {name: statistics.median(turn.seconds for turn in turns) for name, turns in found.items()}
    loop_s = next(seconds for name, seconds in medians.items() if "each check" in name)
    exporter_s = next(seconds for name, seconds in medians.items() if "exporter" in name)
    print(f"{'what':<40} {'checks/s':>9} {'x curl':>7} {'x exporter':>11} {'CPU/check':>11} {'server CPU/check':>17}")
    for name, seconds in medians.items():
        own_ms = statistics.median(turn.cpu_s for turn in found[name]) / count * 1000
        server_ms = statistics.median(turn.server_cpu_s for turn in found[name]) / count * 1000
        ratios = f"{loop_s / seconds:>7.1f} {exporter_s / seconds:>11.2f}"
        print(f"{name:<40} {count / seconds:>9.0f} {ratios} {own_ms:>8.2f} ms {server_ms:>14.2f} ms")


if __name__ == "__main__":
    main()
