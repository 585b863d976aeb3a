"""The protocol of the till: four digits of length, then the message."""

from io import BytesIO


def read(stream: BytesIO) -> bytes:
    """The next message; an empty one is a sign of life."""
    length = int(stream.read(4) or b"0")
    return exactly(stream, length) if length else b""


def exactly(stream: BytesIO, length: int) -> bytes:
    """So many bytes."""
    found = stream.read(length)
    if not found or len(found) < length:
        raise ConnectionResetError(f"connection closed by the till after {len(found)} bytes")
    return found


def write(message: bytes) -> bytes:
    """A message as it travels."""
    return b"%04d" % len(message) + message
