"""What a hostile server answers is shown in an issue and no more, all the way from its socket to GitHub."""

import json
import re
import sys
from collections.abc import Iterator

import pytest
from tests.served import Handler, serving
from tests.system.conftest import Bay
from tests.system.fakes.fake_github import FakeGitHub
from tests.unit.production.incidents.test_text import HOSTILE, outside_of_code

CHECK = """
[[check]]
id = "c%d"
kind = "http"
get = "/%s"
attempts = 1
expect = [%s]
"""
# What the answer is compared with decides in which words it is shown.
RULES = ("status == 200", "json.ok", "json.list == 1", "text == 'x'", "headers['x-words'] == 'x'", "headers.x == 'x'")


class Hostile(Handler):
    """Says everything it can in words of that sort: as keys, values, a header's value, a body that is not JSON."""

    def do_GET(self) -> None:
        plain = " ".join(HOSTILE)
        body = plain if self.path == "/page" else json.dumps({text: text for text in HOSTILE} | {"list": HOSTILE})
        self.send_response(200 if self.path == "/json" else 500, "Oh")
        self.send_header("Content-Type", re.sub(r"[^ -~]", "", plain))
        self.send_header("X-Words", re.sub(r"[^ -~]", "", plain))
        self.send_header("X-Octocat`#1`", "1")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def hostile() -> Iterator[str]:
    """Its address, while it serves."""
    with serving(Hostile) as url:
        yield url


def test_no_answer_is_obeyed_by_github(bay: Bay, hostile: str) -> None:
    """Whichever part of it a condition is about: it calls nobody, links nowhere and is no HTML."""
    checks = [(path, rule) for path in ("page", "json") for rule in RULES]
    tables = [CHECK % (number, path, json.dumps(rule)) for number, (path, rule) in enumerate(checks)]
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(f'[target.here]\nbase_url = "{hostile}"\n' + "".join(tables))
    with FakeGitHub() as github:
        asked = bay.run("check", "--phase", "scheduled")
        newest = bay.report()
        told = bay.run("incidents", str(newest), GITHUB_RUN_ID="1", **github.environ)

    assert (asked.code, told.code, github.violations) == (20, 0, [])
    assert len(github.issues) > 1
    for issue in github.issues.values():
        assert "octocat" in issue["body"]  # or nothing of it came so far
        live = outside_of_code(issue["body"].partition("\n")[2])
        assert re.findall(r"[@#]|evil|octocat|script|GH-|javascript", issue["title"] + live) == []
        assert "<" not in re.sub(r"<details><summary>Evidence</summary>|</details>", "", live)


def test_a_disk_that_is_full_hides_nothing(bay: Bay, hostile: str) -> None:
    """What was found is said, then that it is not kept; half a report is none."""
    tables = [CHECK % (number, "page", '"status == 200"') for number in range(12)]
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(f'[target.here]\nbase_url = "{hostile}"\n' + "".join(tables))
    done = bay.type(f"ulimit -f 1 && {sys.executable} -m testbay check --phase scheduled")  # a kilobyte

    assert (done.code, "Checks: 12 failed" in done.out) == (11, True)
    assert [*(bay.project / ".testbay/checks").iterdir()] == []
