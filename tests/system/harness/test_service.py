"""The service's own process under test: what is measured in it, whatever becomes of it."""

import json

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.guest import MANIFEST, Guest

SERVE = """
import http.server
import sys

def first():
    return 1

def second():
    return 2

def third():
    return 3

class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        {"/first": first, "/second": second, "/third": third}.get(self.path, str)()
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
"""
TESTS = """
def test_three_lives(service):
    service.client.get("/first")
    service.restart()
    service.client.get("/second")
    service.kill()
    service.start()
    service.client.get("/third")
"""


LEAVES_A_FILE_OPEN = """
import signal

left_open = open(__file__ + ".out", "a")
left_open.write("kept ")
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
"""


def test_coverage_has_every_process_but_a_killed_one(bay: Bay) -> None:
    """A process that is ended saves what was measured; with one that is killed it is lost, and no more than that."""
    bay.measure()
    bay.tests(TESTS)
    (bay.service / "src/shop/serve.py").write_text(SERVE, encoding="utf-8")
    manifest = bay.service / "testbay.toml"
    served = 'start = "python src/shop/serve.py {port}"\nready = "/"\n'
    manifest.write_text(served + manifest.read_text(encoding="utf-8"), encoding="utf-8")
    done = bay.run("run", "shop")

    folder = max((bay.project / ".testbay" / "runs").iterdir())
    measured = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))["files"]["src/shop/serve.py"]
    lost = SERVE.splitlines().index("    return 2") + 1
    assert (done.code, measured["missing_lines"]) == (0, [lost]), done.out


def test_lines_measured_in_a_warm_start_are_those_of_a_cold_one(bay: Bay) -> None:
    """Libraries are loaded before the measuring begins, the service's own code after it; open files are written."""
    bay.measure()
    bay.tests("def test_it(service):\n    service.client.get('/first')\n")
    serve = bay.service / "src/shop/serve.py"
    serve.write_text(SERVE.replace("\nclass", f"{LEAVES_A_FILE_OPEN}\nclass"), encoding="utf-8")
    manifest = bay.service / "testbay.toml"
    kept = manifest.read_text(encoding="utf-8")
    measured = []
    for preload in ('"off"', '"auto"', '"auto"'):
        start = f'start = "python src/shop/serve.py {{port}}"\nready = "/"\npreload = {preload}\n'
        manifest.write_text(start + kept, encoding="utf-8")
        done = bay.run("run", "shop")
        assert done.code == 0, done.out
        folder = max((bay.project / ".testbay" / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)
        measured.append(json.loads((folder / "coverage.json").read_text(encoding="utf-8"))["files"])

    assert measured[0] == measured[1] == measured[2]
    assert serve.with_name("serve.py.out").read_text(encoding="utf-8") == "kept kept kept "


STARTS = """
import pytest
@pytest.mark.parametrize("number", range(4))
def test_it(service, number):
    assert service.client.get("/").status_code == 200
"""


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_cold_starts_are_explained_once(guest: Guest, workers: tuple[str, ...]) -> None:
    """However many there were, in however many processes."""
    start = 'start = "cd . && python -m http.server --bind 127.0.0.1 {port}"\n'
    guest.write({"testbay.toml": MANIFEST + start, "tests/test_it.py": STARTS})
    done = guest.pytest("-q", *workers)

    said = [line for line in done.lines if "starts cold" in line]
    assert (done.code, said) == (0, ["testbay: guest starts cold, as its command needs a shell"]), done.out


def test_warm_starts_are_not_spoken_of(guest: Guest) -> None:
    """The first session learns; the second begins to load while its first lease is made."""
    start = 'start = "python -m http.server --bind 127.0.0.1 {port}"\n'
    guest.write({"testbay.toml": MANIFEST + start, "tests/test_it.py": STARTS})
    done = [guest.pytest("-q"), guest.pytest("-q")]

    assert [(one.code, "cold" in one.out) for one in done] == [(0, False)] * 2, done


BREAKS = """
import pytest, sys
def test_breaks(monkeypatch, request):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    request.getfixturevalue("service")

def test_goes_on(service):
    assert service.name == "guest"

def test_without_httpx(service, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(Exception, match="(?s)service.client: .* httpx; or ask service.url by a client of your own"):
        service.client.get("/")
"""


def test_a_service_that_did_not_start_is_out_of_the_way(guest: Guest) -> None:
    """The next test's has its name, and its port; that its client lacks a library is said."""
    start = 'start = "python -m http.server --bind 127.0.0.1 {port}"\n'
    guest.write({"testbay.toml": MANIFEST + start, "tests/test_it.py": BREAKS})
    done = guest.pytest("-q")

    assert (done.code, "1 failed, 2 passed" in done.out) == (1, True), done.out
    assert "guest ended with exit code 1 before it answered" in done.out


def test_a_misspelt_placeholder_is_told(guest: Guest) -> None:
    """The program alone would speak of its arguments."""
    start = 'start = "python -m http.server --bind 127.0.0.1 {prot}"\n'
    guest.write({"testbay.toml": MANIFEST + start, "tests/test_it.py": "def test_it(service):\n    pass\n"})

    assert "`start` has {prot}, which testbay does not know (did you mean 'port'?)" in guest.pytest("-q").out


SERVER = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
print("serving for", os.environ["WHOM"], flush=True)
port = int((sys.argv[1:] or [os.environ["PORT"]])[0])
http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
PROGRAMS = """
from testbay.fixtures import eventually

def test_two_of_a_kind(testbay, bay):
    starts = ("python server.py {port}", "python server.py")
    made = [testbay.service(bay, start=start, env={"WHOM": str(number)}) for number, start in enumerate(starts)]
    for one in made:
        one.start(wait=False)
    for one in made:
        one.await_ready()
    eventually(lambda: all("serving for" in one.logs for one in made))
    assert [one.logs.splitlines()[0] for one in made] == ["serving for 0", "serving for 1"]
    assert [one.name for one in made] == ["guest", "guest-2"]
    assert (made[0].stop(), made[0].stop(), made[1].kill()) == (4, None, -9)
    for one in made:
        one.close()

def test_command(testbay, bay):
    assert testbay.run(bay, "printenv DATABASE_URL") == (0, bay.postgres.dsn + "\\n")
    assert testbay.run(bay, "python fails.py", env={"CODE": "7"}) == (7, "")
"""


def test_other_programs_of_the_project_run_on_a_lease(guest: Guest) -> None:
    """Several at once, each with a log of its own and its port in the command or in PORT; their ends are told."""
    fails = "import os, sys\nsys.exit(int(os.environ['CODE']))\n"
    guest.write({"server.py": SERVER, "fails.py": fails, "tests/test_it.py": PROGRAMS})
    done = guest.pytest("-q")

    assert (done.code, "2 passed" in done.out) == (0, True), done.out


CRASHES = """
import os, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

class App(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/crash":
            self.wfile.flush()
            os._exit(3)

HTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
"""
GOES_UNNOTICED = """
def ended(service):
    assert service.client.get("/crash").status_code == 200
    while "ended" not in service.condition():
        pass

def test_unnoticed(service):
    ended(service)

def test_meant(service):
    ended(service)
    assert service.stop() == 3

def test_killed(service):
    service.kill()
"""


@pytest.mark.parametrize("strict", [False, True])
def test_a_crash_that_its_test_did_not_notice_is_said(guest: Guest, *, strict: bool) -> None:
    """The test had its answers before that, and passes; one that means the end asks for the exit code."""
    start = 'start = "python app.py {port}"\n'
    guest.write({"testbay.toml": MANIFEST + start, "app.py": CRASHES, "tests/test_it.py": GOES_UNNOTICED})
    done = guest.pytest("-q", *(["--testbay-strict"] * strict))

    said = "guest: ended with exit code 3 while this test ran; one that expects it calls service.stop(), which returns"
    passed = f"3 passed, 1 {'error' if strict else 'warning'}"
    assert (done.code, passed in done.out, said in done.out) == (int(strict), True, True), done.out
    assert "test_meant" not in done.out
