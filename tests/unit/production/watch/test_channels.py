"""Ways to tell people, each by its own protocol to a server on loopback that keeps what it was sent."""

import logging
import threading
from collections.abc import Iterator
from urllib.parse import unquote_plus

import pytest
from apprise.plugins import discord, pagerduty, pushover, slack, telegram
from tests import served
from tests.served import Handler

from testbay.errors import ManifestError, NotDeliveredError
from testbay.production.watch import channels
from testbay.production.watch.notifications import Notification

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Apprise imports
KEY = "k3yK3yK3yK3yK3yK3yK3yK3yK3yK3yK3"
KEYS = (KEY, "p4ssw0rd", "AbCdEfGhIjKlMnO", "TIiajkdnlazkcOXrIdevi7FQ", "abcdefghijklmnop")
LETTER = Notification(title="shop on production: health fails", lines=("status == 200: 503 is not == 200",), tone="bad")
# What each of them calls its accounts, rooms and keys; HERE is the server.
WAYS = {
    "a webhook of Slack's": f"http://HERE/services/T1/B1/{KEY}",
    "a webhook of Rocket.Chat's": f"http://HERE/hooks/rocket/{KEY}",
    "Slack by Apprise": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    "Telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI/12315544/",
    "Discord": f"discord://4174216298/{KEY}",
    "PagerDuty": f"pagerduty://{KEY}@{KEY}",
    "Pushover": f"pover://{KEY[:30]}@{KEY[:30]}",
    "ntfy": "ntfy://user:p4ssw0rdp4ssw0rd@HERE/oncall",
    "Gotify": "gotify://HERE/AbCdEfGhIjKlMnO",
    "Mattermost": f"mmost://HERE/{KEY}",
    "Rocket.Chat": f"rocket://{KEY}/{KEY}@HERE/#general",
    "Matrix": "matrix://user:p4ssw0rdp4ssw0rd@HERE/!room:host?mode=off",
    "Signal": "signal://HERE/15551234567/15557654321",
    "Bark": f"bark://HERE/{KEY}",
    "Home Assistant": f"hassio://HERE/{KEY}",
    "Nextcloud Talk": "nctalk://user:p4ssw0rdp4ssw0rd@HERE/room",
    "JSON": "json://HERE/hook",
}
_FACTS = b'{"ok": true, "user_id": "@a:b", "access_token": "t", "room_id": "!r:h", "event_id": "e", "status": 1}'


class Server:
    """Takes everything with `status`; `heard` are the bodies that came."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.status = 200

    def handler(self) -> type[Handler]:
        """What answers a request."""
        server = self

        class Answering(Handler):
            def do_POST(self) -> None:
                server.heard.append(unquote_plus(self.body().decode()))
                said = {"/services/T": b"ok", "/hooks/rocket": b'{"success":true}'}  # as they answer
                body = next((text for path, text in said.items() if self.path.startswith(path)), _FACTS)
                self.reply(server.status, body, {"Retry-After": "120"})

            def do_PUT(self) -> None:
                self.do_POST()

        return Answering


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[Server, str]]:
    """The server, and its host and port."""
    made = Server()
    with served.serving(made.handler()) as url:
        yield made, url.removeprefix("http://")


@pytest.fixture
def here(serving: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> tuple[Server, str]:
    """The same; services whose address is fixed live there, too."""
    server, place = serving
    server.heard, server.status = [], 200
    monkeypatch.setattr(telegram.NotifyTelegram, "notify_url", f"http://{place}/bot")
    monkeypatch.setattr(discord.NotifyDiscord, "notify_url", f"http://{place}/api/webhooks")
    monkeypatch.setattr(pushover.NotifyPushover, "notify_url", f"http://{place}/1/messages.json")
    monkeypatch.setattr(slack.NotifySlack, "webhook_url", f"http://{place}/services")
    for region in pagerduty.PAGERDUTY_API_LOOKUP:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, region, f"http://{place}/v2/enqueue")
    return server, place


@pytest.mark.parametrize("way", WAYS)
def test_a_letter_arrives_whole(here: tuple[Server, str], way: str) -> None:
    """Its title and its lines, by the protocol of that service."""
    server, place = here
    channels.sender("oncall", "${URL}", {"URL": WAYS[way].replace("HERE", place)})(LETTER)

    assert [part in "".join(server.heard) for part in ("health fails", "503 is not")] == [True, True], server.heard
    assert "caronc" not in "".join(server.heard)


@pytest.mark.parametrize("way", WAYS)
def test_a_channel_that_refuses_did_not_take_it(here: tuple[Server, str], way: str) -> None:
    """That is said, without any part of the address that is a key."""
    server, place = here
    server.status = 403
    url = WAYS[way].replace("HERE", place)
    with pytest.raises(NotDeliveredError) as refused:
        channels.sender("oncall", "${URL}", {"URL": url})(LETTER)

    assert [key for key in KEYS if key in url and key in f"{refused.value} {refused.value.why}"] == []
    assert "403" in refused.value.why or "status 403" in refused.value.what


def test_an_address_of_no_service_is_refused_at_once() -> None:
    """Before anything is watched, and without showing it."""
    with pytest.raises(ManifestError, match=r"watch.tell.oncall: its address is not one that Apprise knows") as refused:
        channels.sender("oncall", "${URL}", {"URL": f"carrier-pigeon://{KEY}"})

    assert KEY not in f"{refused.value} {refused.value.why}"


def test_a_channel_hears_nothing_of_another(capfd: pytest.CaptureFixture[str]) -> None:
    """Two are told at once, and only its own address is taken out of what the library says."""
    with (
        channels._library_log("json://one.example/") as said,
        channels._library_log(f"json://two.example/{KEY}") as theirs,
    ):
        other = threading.Thread(target=logging.getLogger("apprise.url").warning, args=(f"refused: /{KEY}",))
        other.start()
        other.join()

    assert (said, theirs, capfd.readouterr().err) == ([], [], "")


def test_a_channel_says_how_long_to_wait(here: tuple[Server, str]) -> None:
    """Slack's limit of messages in a minute, as a number of seconds."""
    server, place = here
    server.status = 429
    with pytest.raises(NotDeliveredError) as refused:
        channels.sender("oncall", "${URL}", {"URL": WAYS["a webhook of Slack's"].replace("HERE", place)})(LETTER)

    assert refused.value.asked_s == 120
