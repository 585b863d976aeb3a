"""Progress events as a subscriber of Dragonfly sees them."""

import json
from typing import TYPE_CHECKING, Any

from harness.waiting import eventually

if TYPE_CHECKING:
    import redis
    from redis.client import PubSub

Event = dict[str, Any]
PATIENCE_S = 20.0


class Progress:
    """A subscription to one job's channel, made before its event is published, or the first steps may be missed."""

    def __init__(self, client: "redis.Redis", job_id: str) -> None:
        self._pubsub: PubSub = client.pubsub()  # type: ignore[no-untyped-call]
        self._pubsub.subscribe(f"langgraph:stream:{job_id}")
        assert self._pubsub.get_message(timeout=PATIENCE_S) is not None, "the subscription was not confirmed"
        self.seen: list[Event] = []

    def close(self) -> None:
        self._pubsub.close()

    def until(self, kind: str, **data: Any) -> Event:
        """Read on until an event of this kind whose data has these values."""
        while True:
            message = self._pubsub.get_message(timeout=PATIENCE_S)
            assert message is not None, f"no event for {PATIENCE_S:g} s; seen: {kinds(self.seen)}"
            self.seen.append(json.loads(message["data"]))
            if self.seen[-1]["event"] == kind and data.items() <= self.seen[-1]["data"].items():
                return self.seen[-1]

    def poll(self, kind: str) -> bool:
        """Read what has come so far; whether an event of this kind was among it."""
        while (message := self._pubsub.get_message(timeout=0.1)) is not None:
            self.seen.append(json.loads(message["data"]))
        return any(event["event"] == kind for event in self.seen)


def wait_for_follower(client: "redis.Redis", job_id: str) -> None:
    """Return when somebody is subscribed to a job's channel."""
    channel = f"langgraph:stream:{job_id}"
    eventually(lambda: dict(client.pubsub_numsub(channel))[channel.encode()], f"a subscriber of {channel}")


def kinds(events: list[Event]) -> list[str]:
    """The events in short: kind, and node where there is one."""
    return [" ".join(filter(None, (e["event"], e["data"].get("node")))) for e in events]
