"""Notification channels, each by an address from the environment: an incoming webhook, or a service of Apprise.

The address is a key to the channel. It is shown nowhere, and neither is any part of it in what a library says of it.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote

from testbay.errors import ManifestError, NotDeliveredError
from testbay.manifest import placeholders
from testbay.manifest.watching import Watching
from testbay.masking import masked
from testbay.production.incidents import slack
from testbay.production.watch.notifications import Notification
from testbay.text import one_line

Send = Callable[[Notification], None]
"""Sends a notification; raises NotDeliveredError if the channel did not accept it."""
_LINES: ContextVar[list[str] | None] = ContextVar("_LINES", default=None)  # of the library, which goes on in a thread
_MARKS = {"bad": ":red_circle:", "good": ":large_green_circle:", "warning": ":warning:"}


def senders(service: str, wish: Watching, environ: Mapping[str, str]) -> dict[str, Send]:
    """Make a sender for each channel of a service's manifest, by the channel's name.

    Raises:
        ManifestError: An address is absent, or of no kind that is known.
    """
    return {f"{service}.{name}": sender(name, channel.url, environ) for name, channel in wish.tell.items()}


def sender(name: str, variable: str, environ: Mapping[str, str]) -> Send:
    """Make the sender for one channel.

    Raises:
        ManifestError: Its address is absent, or of no kind that is known.
    """
    url, absent = placeholders.with_environment(variable, environ)
    if absent:
        raise ManifestError(
            f"watch.tell.{name}: {absent[0]} is not set",
            why="the address of a channel is a secret, so it belongs in the environment",
            todo=f"set {absent[0]}, e.g. to mailto://… or https://hooks.slack.com/services/…",
        )
    if url.partition("://")[0].lower() in ("http", "https"):
        return _webhook(name, url)
    return _by_apprise(name, url)


def _webhook(name: str, url: str) -> Send:
    """Make a sender for Slack's incoming webhooks and compatible ones: Mattermost, Rocket.Chat, Discord with /slack."""
    try:
        hook = slack.address(url)
    except NotDeliveredError as error:
        raise ManifestError(f"watch.tell.{name}: {error.what}", why=error.why, todo=error.todo) from None

    def send(notification: Notification) -> None:
        text = "\n".join(
            [
                f"{_MARKS[notification.tone]} *{slack.quoted(notification.title)}*",
                *map(slack.quoted, notification.lines),
            ]
        )
        slack.post(hook, notification.title, [text], lambda _attempt, _asked_s: False)

    return send


def _by_apprise(name: str, url: str) -> Send:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="testbay",
        app_desc="testbay watch",
        app_url="",
        image_url_mask="",  # pictures of its own, which readers would load from elsewhere
        image_url_logo="",
        async_mode=False,
        secure_logging=True,
    )
    with _library_log(url) as log_lines:
        made = apprise.Apprise(asset=asset)
        is_known = made.add(url)
    if not is_known:
        raise ManifestError(
            f"watch.tell.{name}: its address is not one that Apprise knows",
            why=" ".join(log_lines),
            todo="write it as Apprise's documentation shows, e.g. mailto://user:password@example.org",
        )
    kinds = {
        "bad": apprise.NotifyType.FAILURE,
        "good": apprise.NotifyType.SUCCESS,
        "warning": apprise.NotifyType.WARNING,
    }

    def send(notification: Notification) -> None:
        with _library_log(url) as log_lines:
            is_taken = made.notify(
                body="\n".join(notification.lines),
                title=notification.title,
                notify_type=kinds[notification.tone],
                body_format="text",
            )
        if not is_taken:
            why = " ".join(log_lines) or "Apprise gives no reason"
            raise NotDeliveredError(
                f"{name} did not accept a message", why=why, todo="look at its address and its service"
            )

    return send


@contextmanager
def _library_log(url: str) -> Iterator[list[str]]:
    """Collect the library's log messages, with the address and all its parts masked."""
    log_lines: list[str] = []
    secrets, token = _parts(url), _LINES.set(log_lines)

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if _LINES.get() is log_lines and len(log_lines) < 5:  # another channel's words hold another address
                log_lines.append(one_line(masked(record.getMessage(), secrets), 300))

    logger, collector = logging.getLogger("apprise"), Collector(logging.WARNING)
    logger.addHandler(collector)
    logger.propagate = False  # and it stays so: another thread may be speaking still
    try:
        yield log_lines
    finally:
        logger.removeHandler(collector)
        _LINES.reset(token)


def _parts(url: str) -> set[str]:
    rest = url.partition("://")[2]
    parts = {url, rest, *re.split(r"[/?&=@:#]", rest)}
    return {form for part in parts for form in (part, unquote(part)) if len(form) >= 6}
