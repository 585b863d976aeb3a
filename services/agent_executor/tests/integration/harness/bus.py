"""NATS seen from outside: publish execute events, read every status event, look at the consumer."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo

from harness.agents import event
from harness.background import Background
from harness.waiting import eventually

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

STREAM = "AGENT_EXECUTION"
CONSUMER = "agent-executor"
STATUS_STREAM = "AGENT_STATUS"


class Idle:
    """Whether a consumer has nothing left to deliver or to be told; shows its numbers when a wait for it fails."""

    def __init__(self, info: ConsumerInfo) -> None:
        self._info = info

    def __bool__(self) -> bool:
        return not self._info.num_pending and not self._info.num_ack_pending

    def __repr__(self) -> str:
        return repr(self._info)


class Bus:
    """A client connected to the broker itself, not through a proxy."""

    def __init__(self, background: Background, url: str) -> None:
        self._background = background
        self._received: list[tuple[int, str, dict[str, Any]]] = []
        self._client: Client = background.run(nats.connect(url))
        self._jetstream: JetStreamContext = self._client.jetstream()
        background.run(self._follow_statuses())

    def close(self) -> None:
        self._background.run(self._client.close())

    def execute(self, data: dict[str, Any]) -> str:
        """Publish an execute event; its job_id."""
        self.publish(event(data), job_id=data["job_id"])
        return str(data["job_id"])

    def publish(self, body: bytes, *, job_id: str = "any", headers: Mapping[str, str] | None = None) -> int:
        """Publish anything at all to a job's subject; its position in the stream."""
        subject = f"agent.execute.{job_id}"
        sent = self._jetstream.publish(subject, body, headers=dict(headers) if headers else None)
        return self._background.run(sent).seq

    def statuses(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Subject and event of every status published for a job so far."""
        return [(subject, body) for _, subject, body in list(self._received) if body["data"]["job_id"] == job_id]

    def poison_status(self, sequence: int) -> dict[str, Any]:
        """The failed event of the message at this position, once it is there."""

        def find() -> dict[str, Any] | None:
            events = [body for _, _, body in list(self._received)]
            return next((e for e in events if e["id"] == f"message-{sequence}-failed"), None)

        found = eventually(find, f"the failed event of message {sequence}")
        assert found is not None
        return found

    def outcome(self, job_id: str) -> dict[str, Any]:
        """The data of a job's one status event, once it is there."""
        eventually(lambda: self.statuses(job_id), f"a status event of job {job_id}")
        [(subject, body)] = self.statuses(job_id)
        data: dict[str, Any] = body["data"]
        assert subject == f"agent.status.{data['state']}"
        return data

    def wait_until_idle(self) -> None:
        """Every message is answered for good, and every status event published by then is in `statuses`."""
        eventually(self._is_idle, "the consumer to have answered every message")
        last = self._background.run(self._jetstream.stream_info(STATUS_STREAM)).state.last_seq
        eventually(lambda: last == 0 or any(seq >= last for seq, _, _ in list(self._received)), "all statuses")

    def consumer(self) -> ConsumerInfo:
        """The service's durable consumer."""
        info: ConsumerInfo = self._background.run(self._jetstream.consumer_info(STREAM, CONSUMER))
        return info

    def delete_consumer(self) -> None:
        """Delete the service's consumer, and first what it has answered: a new one starts from the beginning."""
        self.wait_until_idle()
        self._background.run(self._jetstream.purge_stream(STREAM))
        self._background.run(self._jetstream.delete_consumer(STREAM, CONSUMER))

    def take(self, how: str, deadline_s: float = 30.0) -> int:
        """Fetch the next message in the service's place and answer it with nak or term; its delivery count."""
        return self._background.run(self._take(how, deadline_s))

    def _is_idle(self) -> "Idle":
        return Idle(self.consumer())

    async def _take(self, how: str, deadline_s: float) -> int:
        subscription = await self._jetstream.pull_subscribe_bind(consumer=CONSUMER, stream=STREAM)
        try:
            [message] = await subscription.fetch(1, timeout=deadline_s)
            await (message.nak() if how == "nak" else message.term())
            await self._client.flush()
            return message.metadata.num_delivered
        finally:
            await subscription.unsubscribe()

    async def _follow_statuses(self) -> None:
        await self._jetstream.subscribe("agent.status.*", stream=STATUS_STREAM, cb=self._note, ordered_consumer=True)

    async def _note(self, message: Msg) -> None:
        self._received.append((message.metadata.sequence.stream, message.subject, json.loads(message.data)))
