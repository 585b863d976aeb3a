"""nats-py imports aiohttp where it is installed, for WebSocket, which takes longer than this whole suite."""

import sys

sys.modules["aiohttp"] = None  # type: ignore[assignment]
