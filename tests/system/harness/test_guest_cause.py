"""Why the service answered as it did stands where a person looks first."""

import json
import re

from tests.system.fakes.guest import MANIFEST, Guest

# Says why after it has answered, as an ASGI server does.
APP = """import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        print("noise\\n" * 300)
        self.send_response(500)
        self.end_headers()
        json.loads("{")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TEST = """def test_it(service):
    status = service.client.post("/").status_code
    assert status == 201
"""
PROJECT = {
    "testbay.toml": MANIFEST + 'start = "python app.py {port}"\n',
    "app.py": APP,
    "tests/test_it.py": TEST,
}
RAISED = "guest: JSONDecodeError: Expecting property name enclosed in double quotes"
SAID = f"assert 500 == 201 · {RAISED}"


def test_cause_stands_first_under_testbay_run(guest: Guest) -> None:
    """In pytest's summary line and the closing one, in the evidence, on the page."""
    guest.write(PROJECT)

    done = guest.run("run", COLUMNS="300")

    [test] = json.loads(guest.run_json())["tests"]
    page = (max((guest.project / ".testbay/runs").iterdir()) / "report.html").read_text()
    titles = [title for title, _ in test["sections"]]
    assert re.search(rf"(?m)^FAILED tests/test_it.py::test_it - {re.escape(SAID)}.*\(app.py:10\)$", done.out), done.out
    assert re.search(rf"(?m)^   tests/test_it.py::test_it: {re.escape(SAID)}.*\(app.py:10\)$", done.out), done.out
    assert titles[:2] == ["exception in guest", "guest log"]
    assert page.index("exception in guest") < page.index("traceback")


def test_what_plain_pytest_names_is_there_afterwards(guest: Guest) -> None:
    """A log with more lines than shown, the record of the session, and the cause where pytest's short line is cut."""
    guest.write(PROJECT)

    done = guest.pytest(COLUMNS="80")
    report = guest.run("report")

    [log] = re.findall(r"(?m)^… \d+ lines more in (.*)$", done.out)
    assert (guest.project / log).read_text().count("noise") == 300
    page = (guest.project / report.lines[0]).read_text()
    assert (done.code, "exception in guest" in page, "1 of 1 test failed" in page) == (1, True, True), done.out
    assert re.search(rf"(?m)^tests/test_it.py::test_it: {re.escape(RAISED)}.*\(app.py:10\)$", done.out), done.out
