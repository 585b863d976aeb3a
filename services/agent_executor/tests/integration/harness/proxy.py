"""A TCP proxy in front of a dependency that can be cut and healed."""

import asyncio

from harness.background import Background

CHUNK = 64 * 1024


class Proxy:
    """Listens on one port for its whole life, so that the service's configuration stays true."""

    def __init__(self, background: Background, target: tuple[str, int]) -> None:
        self._background = background
        self._target = target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.heal()

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._background.run(self._cut())

    def heal(self) -> None:
        """Accept connections again; nothing happens when they are accepted already."""
        self._background.run(self._heal())

    async def _heal(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.sleep(0)  # let the aborted transports close before anybody is told that they are

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._connections |= both
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            self._connections -= both
            for end in both:
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()  # one side is gone: so is the other
