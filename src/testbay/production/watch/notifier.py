"""Sending notices: which go out now, which wait, and what follows when a channel fails.

A message is recorded as being sent before it is sent. So after a crash nothing is sent twice, except for the one
message that was being sent, which says so.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from testbay.errors import NotDeliveredError
from testbay.production.watch import notifications
from testbay.production.watch.notifications import Notification
from testbay.production.watch.records import Incident, Notice
from testbay.production.watch.tracker import OutageTracker
from testbay.text import plural

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
_LONGEST_REST_S = 60.0  # of a channel that asked for none: news of another outage waits no longer
TELLS_OTHERS_AFTER = 3  # failed attempts in a row
LOST_AFTER_S = 86400.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message to one channel, and the notices that it covers."""

    channel: str
    notification: Notification
    notices: Sequence[Notice]


@dataclass(kw_only=True)
class Notifier:
    """Chooses what to send, and sends nothing itself: `sent` and `failed` report the result.

    `is_quiet` says whether a channel has quiet hours at a moment.
    """

    tracker: OutageTracker
    is_quiet: Callable[[str, float], bool] = lambda _channel, _now: False
    busy: set[str] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    _failures: Counter[str] = field(default_factory=Counter)  # of a channel in a row
    _rests: dict[str, float] = field(default_factory=dict)  # until when a channel that failed is left alone

    def choose(self, now: float) -> list[Delivery]:
        """Choose at most one message per channel; from now on it counts as being sent."""
        found = []
        waiting: dict[str, list[Notice]] = {}
        for notice in self.tracker.notices.values():
            if notice.state == "waiting":
                waiting.setdefault(notice.channel, []).append(notice)
        for channel, notices in waiting.items():
            rests = 0 < self._rests.get(channel, now) - now <= LONGEST_PAUSE_S
            if channel not in self.busy and not rests and not self.is_quiet(channel, now):
                delivery = self._next(channel, notices, now)
                if delivery:
                    self.busy.add(channel)
                    found.append(delivery)
        return found

    def _next(self, channel: str, notices: Iterable[Notice], now: float) -> Delivery | None:
        for notice in sorted(notices, key=lambda one: (one.due, one.id)):
            if 0 < notice.due - now <= LONGEST_PAUSE_S:  # no notice waits longer, unless the clock was set back
                return None
            together = [one for one in notices if one.incident == notice.incident and one.kind != "channel"]
            chosen, notification = self._notification(notice, together, now)
            if notification is None:
                for one in chosen:
                    self.tracker.note(replace(one, state="dropped"))
                continue
            going = [replace(one, state="sending") for one in chosen]
            for one in going:
                self.tracker.note(one)
            return Delivery(channel=channel, notification=notification, notices=going)
        return None

    def _notification(
        self, notice: Notice, together: Sequence[Notice], now: float
    ) -> tuple[Sequence[Notice], Notification | None]:
        """Write the message for a notice; return the notices that it covers, and None if it is outdated."""
        if notice.kind == "channel":
            why = self.trouble.get(notice.about)
            return [notice], notifications.unreachable(notice.about, why) if why else None
        incident = self.tracker.incidents.get(notice.incident)
        if incident is None:
            return together, None
        return together, _notification(
            incident, {one.kind for one in together}, now, again=any(one.again for one in together)
        )

    def sent(self, delivery: Delivery, now: float) -> None:
        """Note that a channel has accepted a message."""
        self.busy.discard(delivery.channel)
        self.trouble.pop(delivery.channel, None)
        self._failures.pop(delivery.channel, None)
        for notice in delivery.notices:
            if notice.incident and notice is delivery.notices[0]:
                self.tracker.happened(notice.incident, now, f"told {delivery.channel}: {delivery.notification.title}")
            self.tracker.note(replace(notice, state="sent"))

    def failed(self, delivery: Delivery, why: str, now: float, asked_s: float = 0.0) -> None:
        """Note a failed delivery: it is retried with growing pauses, and the other channels are told once.

        A channel that asks for a pause gets it, up to the longest one, from its other messages, too.
        """
        self.busy.discard(delivery.channel)
        self._failures[delivery.channel] += 1
        rest_s = min(_LONGEST_REST_S, FIRST_PAUSE_S * 2 ** min(self._failures[delivery.channel] - 1, 10))
        self._rests[delivery.channel] = now + min(LONGEST_PAUSE_S, max(asked_s, rest_s))
        attempts = max(one.attempts for one in delivery.notices) + 1
        is_first = attempts >= TELLS_OTHERS_AFTER and delivery.channel not in self.trouble
        for notice in delivery.notices:
            if attempts > 1 and now - notice.posted > LOST_AFTER_S:
                self.lost += 1
                self.tracker.note(replace(notice, state="lost"))
                continue
            pause_s = min(LONGEST_PAUSE_S, max(asked_s, FIRST_PAUSE_S * 2 ** min(attempts - 1, 10)))
            self.tracker.note(replace(notice, state="waiting", attempts=attempts, due=now + pause_s))
        if is_first:
            self.trouble[delivery.channel] = why
            self._tell_others(delivery, now)

    def _tell_others(self, delivery: Delivery, now: float) -> None:
        if any(one.kind == "channel" for one in delivery.notices):
            return
        service = delivery.channel.partition(".")[0]
        for other in self.tracker.rule(service).channels:
            if other != delivery.channel:
                self.tracker.post(
                    Notice(
                        id=0,
                        incident=0,
                        kind="channel",
                        number=0,
                        channel=other,
                        posted=now,
                        due=now,
                        about=delivery.channel,
                    )
                )

    @property
    def untold(self) -> int:
        """The number of messages that were tried and have not arrived."""
        return self.lost + sum(1 for one in self.tracker.notices.values() if one.attempts)

    def complaint(self) -> NotDeliveredError | None:
        """The error with which the watcher ends if messages have not arrived."""
        if not self.untold:
            return None
        names = sorted({one.channel for one in self.tracker.notices.values() if one.attempts}) or ["a channel"]
        return NotDeliveredError(
            f"{plural(self.untold, 'message')} could not be sent: {', '.join(names)}",
            why="; ".join(sorted(set(self.trouble.values()))[:3]) or "the channel did not accept them",
            todo="fix the channel; the next testbay watch sends what waits",
        )


def _notification(
    incident: Incident, kinds: set[Literal["open", "again", "close", "channel"]], now: float, *, again: bool
) -> Notification:
    if "close" in kinds or incident.closed:
        return notifications.ended(incident, was_told="open" not in kinds, maybe_again=again)
    if "open" in kinds:
        return notifications.opened(incident, now, maybe_again=again)
    return notifications.goes_on(incident, now, maybe_again=again)
