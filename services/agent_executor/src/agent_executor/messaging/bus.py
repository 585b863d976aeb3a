"""The NATS connection: JetStream publishing with acknowledgement, and the consumers we pull from."""

import asyncio

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from agent_executor.messaging import events
from agent_executor.outages import nudge
from agent_executor.records import Job
from agent_executor.settings import MAX_DELIVER, Settings
from agent_executor.tasks import end

EXECUTION_STREAM = "AGENT_EXECUTION"
EXHAUSTED_STREAM = "AGENT_EXHAUSTED"
EXECUTION_CONSUMER = "agent-executor"
EXHAUSTED_CONSUMER = "agent-executor-exhausted"

RECONNECT_PAUSE_S = 0.2

log = structlog.get_logger(__name__)


class Bus:
    """One connection that never gives up reconnecting."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client()
        self._connecting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; the service starts even while the broker is down."""
        self._connecting = asyncio.create_task(self._connect(), name="nats-connect")

    async def close(self) -> None:
        """Flush what was published and close."""
        if self._connecting is not None:
            await end(self._connecting)
        try:
            async with asyncio.timeout(self._settings.nats_timeout_s):
                await self._client.close()
        except Exception as exc:  # noqa: BLE001 -- a broker that is away must not keep us from ending
            log.warning("nats_close_failed", error=repr(exc))

    async def ping(self) -> None:
        """Raise unless JetStream answers for our stream."""
        await self._jetstream().consumer_info(EXECUTION_STREAM, EXECUTION_CONSUMER)

    async def send_execute(self, job: Job) -> None:
        """Put a task's event into the stream; the same job twice is stored once."""
        await self._publish(f"agent.execute.{job.job_id}", events.execute_event(job), f"{job.job_id}-execute")

    async def send_status(self, job: Job) -> None:
        """Put a job's final event into the stream; the same job twice is stored once."""
        body = events.status_event(job)
        await self._publish(f"agent.status.{job.state}", body, f"{job.job_id}-{job.state}")

    async def send_poison(self, body: bytes, message_id: str) -> None:
        """Put the failed event of a message that never became a job into the stream."""
        await self._publish("agent.status.failed", body, message_id)

    async def execution_subscription(self) -> JetStreamContext.PullSubscription:
        """Bind to the durable consumer of execute events, creating or updating it."""
        config = ConsumerConfig(
            durable_name=EXECUTION_CONSUMER,
            name=EXECUTION_CONSUMER,
            filter_subject="agent.execute.*",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._settings.ack_wait_s,
            max_deliver=MAX_DELIVER,
        )
        return await self._bind(EXECUTION_STREAM, config)

    async def exhausted_subscription(self) -> JetStreamContext.PullSubscription:
        """Bind to the durable consumer of "ran out of deliveries" advisories."""
        config = ConsumerConfig(
            durable_name=EXHAUSTED_CONSUMER,
            name=EXHAUSTED_CONSUMER,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._settings.ack_wait_s,
        )
        return await self._bind(EXHAUSTED_STREAM, config)

    async def stored_message(self, sequence: int) -> tuple[dict[str, str] | None, bytes]:
        """Headers and body of a message of the execution stream."""
        stored = await self._jetstream().get_msg(EXECUTION_STREAM, sequence)
        return stored.headers, stored.data or b""

    async def _bind(self, stream: str, config: ConsumerConfig) -> JetStreamContext.PullSubscription:
        jetstream = self._jetstream()
        await jetstream.add_consumer(stream, config)
        return await jetstream.pull_subscribe_bind(consumer=config.durable_name, stream=stream)

    async def _publish(self, subject: str, body: bytes, message_id: str) -> None:
        # JetStream drops a second message with the same id, so sending again after a lost answer is safe.
        headers = {"Nats-Msg-Id": message_id, "Content-Type": events.CONTENT_TYPE}
        await self._jetstream().publish(subject, body, headers=headers)

    async def await_first_connection(self) -> None:
        """Wait until it has connected once: a service that just starts has no outage to wait out, nor to log."""
        if self._connecting is not None:
            await asyncio.shield(self._connecting)

    def require_connection(self) -> None:
        """Raise unless connected: nats-py would buffer, send all of it once it is, and its callers time out."""
        if not self._client.is_connected:
            raise ConnectionClosedError

    def _jetstream(self) -> JetStreamContext:
        self.require_connection()
        return self._client.jetstream(timeout=self._settings.nats_timeout_s)

    async def _connect(self) -> None:
        await self._client.connect(
            self._settings.nats_url,
            name="agent-executor",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_PAUSE_S,  # type: ignore[arg-type]  # only ever slept on
            connect_timeout=max(1, round(self._settings.nats_timeout_s)),
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=_ignore,
            disconnected_cb=_disconnected,
            reconnected_cb=_reconnected,
        )
        log.info("nats_connected")


async def fetch_one(subscription: JetStreamContext.PullSubscription, timeout_s: float) -> Msg | None:
    """The next message, or None when none came in time."""
    try:
        return (await subscription.fetch(1, timeout=timeout_s))[0]
    except NatsTimeoutError:
        return None


async def _ignore(_error: Exception) -> None:
    """Connection errors are seen by whoever was waiting; nats-py would print each attempt."""


async def _disconnected() -> None:
    log.warning("nats_disconnected")


async def _reconnected() -> None:
    log.warning("nats_reconnected")
    nudge()
