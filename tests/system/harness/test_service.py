"""The service's own process under test: what is measured in it, whatever becomes of it."""

import json

from tests.system.conftest import Bay

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


def test_coverage_has_every_process_but_a_killed_one(bay: Bay) -> None:
    """A process that is ended saves what was measured; with one that is killed it is lost, and no more than that."""
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
