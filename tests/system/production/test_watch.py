"""`testbay watch` as its own process: real requests, a real mail server, a webhook, signals and a second watcher."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_slack import KEY, FakeSlack
from tests.system.fakes.watched import Mailbox, Watch, mail_server, soon, watching

from testbay.production.checks.report import from_json
from testbay.production.history import entries

if TYPE_CHECKING:
    from tests.system.fakes.browser import Browser

pytestmark = pytest.mark.xdist_group("watch")  # one watcher for them all, which waits for a minute: it comes early

TOKEN = "a-token-of-a-job-0123"
WELL = {"live": "pass", "health": "pass", "page": "pass", "order": "skip", "backup": "skip"}
MANIFEST = """
service = "shop"
[target.production]
base_url = "${BASE_URL}"
live = { url = "/api/version", expect = "json.commit == expected_sha" }
[defaults]
every = "5s"
[watch]
after = 1
recovered_after = 1
[watch.tell.chat]
url = "${CHAT_URL}"
[watch.tell.mail]
url = "${MAIL_URL}"
[[check]]
id = "health"
kind = "http"
get = "/api/health"
expect = ["status == 200", "json.status == 'healthy'"]
[[check]]
id = "page"
kind = "http"
get = "/page"
expect = ["status == 200", "json.queue_depth == 0"]
[[check]]
id = "backup"
kind = "heartbeat"
token = "${BACKUP_TOKEN}"
within = "1h"
[[check]]
id = "order"
kind = "http"
post = "/things"
writes = true
expect = ["status == 201"]
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Deployment]:
    """A deployment for all tests of this module."""
    with deployed() as made:
        yield made


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    """A channel."""
    with FakeSlack() as made:
        yield made


@pytest.fixture(scope="module")
def mail() -> Iterator[tuple[Mailbox, str]]:
    """A mailbox."""
    with mail_server() as made:
        yield made


@pytest.fixture(scope="module")
def watch(
    tmp_path_factory: pytest.TempPathFactory, shop: Deployment, slack: FakeSlack, mail: tuple[Mailbox, str]
) -> Iterator[Watch]:
    """A watcher for all tests of this module."""
    environ = {
        "BASE_URL": f"http://127.0.0.1:{shop.port}",
        "CHAT_URL": slack.url,
        "MAIL_URL": mail[1],
        "BACKUP_TOKEN": TOKEN,
    }
    with watching(tmp_path_factory.mktemp("watched"), MANIFEST, **environ) as made:
        yield made


class Told(NamedTuple):
    """What was told of an outage: the subjects of letters, and messages in the channel."""

    watch: Watch
    mails: list[str]
    chat: list[str]


@pytest.fixture(scope="module")
def outage(watch: Watch, shop: Deployment, slack: FakeSlack, mail: tuple[Mailbox, str]) -> Told:
    """One outage of the check `health`, from its beginning to its end."""

    def mails() -> list[str]:
        return [subject for letter in mail[0].letters if "health" in (subject := str(letter["subject"]))]

    def chat() -> list[str]:
        return [told for told in slack.told if "health" in told]

    soon(lambda: watch.checks()["health"]["state"] == "pass")
    shop.wrong = {"health"}
    soon(lambda: mails() and chat())
    shop.wrong = set()
    soon(lambda: len(mails()) > 1 and len(chat()) > 1)
    return Told(watch, mails(), chat())


def test_what_is_well_is_said_to_be(watch: Watch) -> None:
    """Each check was asked; one that writes is skipped where the target does not allow it."""
    soon(lambda: {name: one["state"] for name, one in watch.checks().items()} == WELL)


def test_a_job_that_calls_in_is_well_and_one_that_fails_is_not(watch: Watch) -> None:
    """Whoever does not know the token is not heard. A whole log is, in whatever encoding: its beginning counts."""
    assert watch.get(f"beat/backup/{'x' * 20}").status_code == 404
    assert watch.get(f"beat/backup/{TOKEN}").text == "heard\n"
    packed = {"Content-Encoding": "gzip"}
    broken = httpx.post(f"{watch.url}beat/backup/{TOKEN}", content=b"not gzip", headers=packed, trust_env=False)
    assert broken.text == "heard\n"
    soon(lambda: watch.checks()["backup"]["state"] == "pass")
    httpx.post(f"{watch.url}beat/backup/{TOKEN}/fail", content=b"no room \xe9" + b"x" * 200_000, trust_env=False)
    failed = soon(lambda: said if "no room" in (said := watch.checks()["backup"]["said"]) else "")
    watch.get(f"beat/backup/{TOKEN}")

    assert failed.startswith("the job reported a failure")
    soon(lambda: watch.checks()["backup"]["state"] == "pass")


def test_the_live_page_tells_of_an_incident_and_of_what_a_person_added(outage: Told) -> None:
    """An incident that ended reads *ended*; what was added is escaped."""
    watch = outage.watch
    added = watch.call("note", "<b>it was DNS</b>", "--by", "Ada")
    page = watch.get().text

    assert (added[0], "ended" in page, "&lt;b&gt;it was DNS&lt;/b&gt;" in page, "Ada" in page) == (0, True, True, True)
    assert watch.get("check/shop/production/health").text.count("<svg") == 1
    assert (
        '<noscript><meta http-equiv="refresh" content="15"></noscript>' in page
    )  # it is renewed without a script, too


def test_programs_read_it(outage: Told) -> None:
    """Prometheus' own parser, an XML parser for the feed and the badges, and JSON."""
    watch = outage.watch
    families = {one.name: one for one in text_string_to_metric_families(watch.get("metrics").text)}
    success = {one.labels["check"]: one.value for one in families["testbay_check_success"].samples}
    feed = ET.fromstring(watch.get("incidents.atom").text)

    assert success["page"] == 1.0
    assert families["testbay_watch_lateness_seconds"].type == "histogram"
    assert len(feed.findall("{http://www.w3.org/2005/Atom}entry")) == len(watch.incidents())
    assert ET.fromstring(watch.get("badge.svg").text).tag.endswith("svg")
    assert "passing" in watch.get("badge/shop/production/page.svg").text
    assert watch.get("api/incidents").json()["incidents"][-1]["state"] == "ended"


@pytest.mark.browser
def test_the_live_page_in_a_browser(watch: Watch, browser: "Browser") -> None:
    """At 320 px nothing stands beyond the screen; the policy lets its own script work; it renews itself."""
    metrics = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    widths = {}
    for path in ("", "check/shop/production/health", "history"):
        browser.driver.get(watch.url + path)
        widths[path] = browser.driver.execute_script("return document.documentElement.scrollWidth")
    with browser.hastened(10):
        browser.driver.get(watch.url)
    made = "return document.querySelector('main time').dateTime"
    first = browser.driver.execute_script(made)
    soon(lambda: browser.driver.execute_script(made) != first)

    assert max(widths.values()) <= 320, widths


@pytest.mark.browser
def test_the_page_turns_grey_when_the_watcher_stops(watch: Watch, browser: "Browser") -> None:
    """What it said stands there, and is not green any more."""
    browser.driver.get(watch.url)
    colour = "return getComputedStyle(document.querySelector('li.pass .dot')).backgroundColor"
    green = browser.driver.execute_script(colour)
    with browser.hastened(10):
        browser.driver.get(watch.url)
    watch.stop()
    silence = browser.driver.find_element("id", "silence")
    soon(silence.is_displayed)
    grey = browser.driver.execute_script(colour)
    watch.start()

    assert grey != green


def test_an_outage_is_told_once_by_mail_and_in_the_channel(outage: Told) -> None:
    """Its beginning and its end; no key of a channel stands in what was said or kept."""
    watch, mails, chat = outage
    kept = (watch.folder / ".testbay/watch/watch.db").read_bytes()

    assert mails[0] == "shop on production: health fails"
    assert [["passing again" in one for one in told] for told in (mails, chat)] == [[False, True], [False, True]]
    assert (KEY in watch.said, KEY.encode() in kept) == (False, False)


def test_another_watcher_is_refused(watch: Watch) -> None:
    """Two would ask and tell everything twice."""
    code, said = watch.call("watch")

    assert (code, "another testbay watch keeps the history" in said) == (25, True)


def test_other_commands_read_its_history(watch: Watch) -> None:
    """While it is watching: response times and the static page."""
    soon(lambda: "unknown" not in {one["state"] for one in watch.checks().values()})
    timed = watch.call("latency", "--history", ".testbay/watch")
    page = watch.call("status-page", "--history", ".testbay/watch", "--out", "site")

    lines = watch.call("history", ".testbay/watch", "--to", "lines")
    report = from_json(watch.get("api/report/shop/production").text)

    assert ("health" in timed[1], page[0], lines[0]) == (True, 0, 0)
    assert entries.read(watch.folder / "lines", datetime.now(UTC)).entries
    assert {one.check: one.verdict for one in report.results} == {
        name: one["state"] for name, one in watch.checks().items()
    }
    assert "production" in (watch.folder / "site/index.html").read_text(encoding="utf-8")


def test_it_ends_cleanly(watch: Watch) -> None:
    """What was asked is written down, and the next watcher may begin."""
    code = watch.stop(signal.SIGTERM)
    again = watch.call("watch", "--for", "1s")

    assert (code, again[0], "watched" in watch.said) == (0, 0, True)
