"""Model calls through the OpenAI SDK: streamed, with tool calls put together, errors made structured."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from agent_executor.errors import JobFailedError
from agent_executor.jsonsafe import clean_text
from agent_executor.metrics import Metrics
from agent_executor.settings import Settings

# How an answer ends that is not one: without a reason the stream was cut off, and nothing else tells.
WITHHELD = {
    None: "the model's answer broke off",
    "content_filter": "the model's answer was withheld by a content filter",
}
OnToken = Callable[[str], Awaitable[None]]


@dataclass
class Reply:
    """A whole answer, as gathered from its chunks."""

    text: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)


class Model:
    """The OpenAI client of this process."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._client: openai.AsyncOpenAI | None = None
        self.default_model = settings.default_model
        self.is_configured = bool(settings.openai_api_key or settings.openai_base_url)
        if self.is_configured:
            self._client = openai.AsyncOpenAI(
                # The SDK insists on a key; a local server behind OPENAI_BASE_URL needs none.
                api_key=settings.openai_api_key or "none",
                base_url=settings.openai_base_url,
                timeout=settings.model_timeout_s,
                max_retries=settings.model_max_retries,
            )

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.close()

    async def ask(self, request: dict[str, Any], on_token: OnToken) -> Reply:
        """One streamed chat completion; any failure is a JobFailedError."""
        if self._client is None:
            raise JobFailedError("model_not_configured", "neither OPENAI_API_KEY nor OPENAI_BASE_URL is set")
        try:
            reply = await self._stream(self._client, request, on_token)
        except openai.OpenAIError as exc:
            self._metrics.model_calls.labels("failed").inc()
            raise _failed(exc) from exc
        if why := WITHHELD.get(reply.finish_reason):
            self._metrics.model_calls.labels("failed").inc()
            raise JobFailedError("model_error", why, reason=reply.finish_reason)
        self._metrics.model_calls.labels("answered").inc()
        for kind, tokens in reply.usage.items():
            self._metrics.model_tokens.labels(kind).inc(tokens)
        return reply

    async def _stream(self, client: openai.AsyncOpenAI, request: dict[str, Any], on_token: OnToken) -> Reply:
        reply = Reply()
        chunks: openai.AsyncStream[ChatCompletionChunk] = await client.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        )
        async with chunks:
            async for chunk in chunks:
                token = _add(reply, chunk)
                if token:
                    await on_token(token)
        return reply


def _add(reply: Reply, chunk: ChatCompletionChunk) -> str:
    """Add a chunk to the reply; returns its text."""
    if chunk.usage is not None:
        reply.usage = {"prompt": chunk.usage.prompt_tokens, "completion": chunk.usage.completion_tokens}
    if not chunk.choices:
        return ""
    choice = chunk.choices[0]
    reply.finish_reason = choice.finish_reason or reply.finish_reason
    for part in choice.delta.tool_calls or []:
        while len(reply.tool_calls) <= part.index:
            reply.tool_calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = reply.tool_calls[part.index]
        call["id"] = part.id or call["id"]
        if part.function is not None:
            call["function"]["name"] += part.function.name or ""
            call["function"]["arguments"] += part.function.arguments or ""
    text = clean_text(choice.delta.content or "")
    reply.text += text
    return text


def _failed(exc: openai.OpenAIError) -> JobFailedError:
    details: dict[str, Any] = {"type": type(exc).__name__}
    if isinstance(exc, openai.APIStatusError):
        details["status"] = exc.status_code
        details["request_id"] = exc.request_id
    return JobFailedError("model_error", f"the model call failed: {clean_text(str(exc))[:1000]}", **details)
