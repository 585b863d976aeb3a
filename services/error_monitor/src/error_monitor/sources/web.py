"""One bounded HTTP exchange with a source; whatever goes wrong with it is an error of that source."""

from typing import Any

import httpx

from error_monitor.sources.records import SourceError

MAX_ANSWER_BYTES = 64 << 20


async def answer_of(name: str, client: httpx.AsyncClient, method: str, url: str, **more: Any) -> tuple[int, bytes]:
    """Status and body.

    Raises:
        SourceError: No answer, half an answer, too large a one, or one that says "later".
    """
    try:
        async with client.stream(method, url, **more) as response:
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.status_code in (502, 503):
                raise SourceError(f"{name} answers {response.status_code}: it is asked again later")
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise SourceError(f"{name} answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
            return response.status_code, bytes(body)
    except httpx.HTTPError as exc:
        raise SourceError(f"{name} gives no whole answer: {type(exc).__name__}: {exc}") from exc
