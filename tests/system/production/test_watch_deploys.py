"""`testbay watch` during a deploy that GitHub knows of: what it breaks on its way is told to nobody."""

from pathlib import Path

import pytest
from tests.system.fakes.deployment import deployed
from tests.system.fakes.fake_github import FakeGitHub
from tests.system.fakes.fake_slack import FakeSlack
from tests.system.fakes.watched import soon, watching

OLD, NEW = "a" * 40, "b" * 40
MANIFEST = """
service = "shop"
[target.production]
base_url = "${BASE_URL}"
live = { url = "/api/version", expect = "json.commit == expected_sha", every = "1s" }
deployment = { github = "production" }
[defaults]
every = "5s"
[watch]
after = 1
recovered_after = 1
look = "1s"
[watch.tell.chat]
url = "${CHAT_URL}"
[[check]]
id = "health"
kind = "http"
get = "/api/health"
expect = ["status == 200"]
"""


@pytest.mark.slow
def test_no_one_is_told_of_what_a_deploy_breaks_on_its_way(tmp_path: Path, github: FakeGitHub) -> None:
    """The check fails while the build is on its way, and is passing again with the new one, which is asked at once."""
    github.deploy(OLD, "success")
    with deployed() as shop, FakeSlack() as slack:
        shop.commit = OLD
        environ = {"BASE_URL": f"http://127.0.0.1:{shop.port}", "CHAT_URL": slack.url, **github.environ}
        with watching(tmp_path, MANIFEST, **environ) as watch:
            soon(lambda: watch.checks()["health"]["state"] == watch.checks()["live"]["state"] == "pass")
            number = github.deploy(NEW, "in_progress")
            soon(lambda: "a deploy is in progress" in watch.said, within_s=90)
            shop.wrong = {"health"}
            soon(watch.incidents)
            shop.wrong, shop.commit = set(), NEW
            github.report(number, "success")
            soon(lambda: "a deploy ended" in watch.said, within_s=90)
            soon(lambda: watch.checks()["health"]["state"] == "pass")
            incident = soon(lambda: [one for one in watch.incidents() if one["closed"]])

    assert (incident[0]["announced"], slack.told) == (0.0, [])
