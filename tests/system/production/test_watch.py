"""`testbay watch` as its own process: real requests, a real mail server, a webhook, signals and a second watcher."""

import signal
from collections.abc import Iterator

import pytest
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_slack import KEY, FakeSlack
from tests.system.fakes.watched import Mailbox, Watch, mail_server, soon, watching

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
    environ = {"BASE_URL": f"http://127.0.0.1:{shop.port}", "CHAT_URL": slack.url, "MAIL_URL": mail[1]}
    with watching(tmp_path_factory.mktemp("watched"), MANIFEST, **environ) as made:
        yield made


def test_what_is_well_is_said_to_be(watch: Watch) -> None:
    """Each check was asked; one that writes is skipped where the target does not allow it."""
    soon(lambda: {name: one["state"] for name, one in watch.checks().items()} == WELL)


WELL = {"live": "pass", "health": "pass", "page": "pass", "order": "skip"}


def test_an_outage_is_told_once_by_mail_and_in_the_channel(
    watch: Watch, shop: Deployment, slack: FakeSlack, mail: tuple[Mailbox, str]
) -> None:
    """Its beginning and its end; no key of a channel stands in what was said or kept."""
    soon(lambda: watch.checks()["health"]["state"] == "pass")
    shop.wrong = {"health"}
    soon(lambda: slack.told and mail[0].letters)
    shop.wrong = set()
    soon(lambda: len(slack.told) > 1 and len(mail[0].letters) > 1)

    assert [letter["subject"] for letter in mail[0].letters] == [
        "shop on production: health fails",
        next(letter["subject"] for letter in mail[0].letters[1:]),
    ]
    assert ["well again" in told for told in slack.told] == [False, True]
    kept = (watch.folder / ".testbay/watch/watch.db").read_bytes()
    assert (KEY in watch.said, KEY.encode() in kept) == (False, False)


def test_another_watcher_is_refused(watch: Watch) -> None:
    """Two would ask and tell everything twice."""
    code, said = watch.call("watch")

    assert (code, "another testbay watch keeps the history" in said) == (25, True)


def test_other_commands_read_its_history(watch: Watch) -> None:
    """While it is watching: response times and the static page."""
    soon(lambda: watch.checks()["health"]["state"] == "pass")
    timed = watch.call("latency", "--history", ".testbay/watch")
    page = watch.call("status-page", "--history", ".testbay/watch", "--out", "site")

    assert ("health" in timed[1], page[0]) == (True, 0)
    assert "production" in (watch.folder / "site/index.html").read_text(encoding="utf-8")


def test_it_ends_cleanly(watch: Watch) -> None:
    """What was asked is written down, and the next watcher may begin."""
    code = watch.stop(signal.SIGTERM)
    again = watch.call("watch", "--for", "1s")

    assert (code, again[0], "watched" in watch.said) == (0, 0, True)
