"""What the sources of lines do where names and folders are not as one expects."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from error_monitor.sources import services
from error_monitor.sources.containers import Container
from error_monitor.sources.files import Files
from error_monitor.sources.railway import nanoseconds
from error_monitor.sources.records import Chunk, Position


def read(source: Files, position: Position | None = None) -> list[Chunk]:
    """One read of every stream."""

    async def every() -> list[Chunk]:
        return [await stream.read(position) for stream in await source.streams()]

    return asyncio.run(every())


def test_a_folder_that_is_gone_is_a_gap_once(tmp_path: Path) -> None:
    """The log folder of a Kubernetes pod goes with its pod: that is a gap, not a source that fails for ever."""
    file = tmp_path / "pod" / "app.log"
    file.parent.mkdir()
    file.write_text("one\n")
    source = Files([f"{tmp_path}/*/app.log"], "default", 3600)
    (first,) = read(source)
    shutil.rmtree(file.parent)
    (second,) = read(source, first.position)

    assert ([gap.kind for gap in second.gaps], read(source, second.position)) == (["deleted"], [])


def test_a_name_that_is_not_utf_8_has_a_key(tmp_path: Path) -> None:
    """PostgreSQL takes the key of a file whatever its name is."""
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.log"))
    file.write_text("one\n")
    (stream,) = asyncio.run(Files([f"{tmp_path}/*.log"], "default", 3600).streams())

    assert stream.key == rf"files:default:{tmp_path}/caf\xe9.log"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("1970-01-01T00:00:01.123456789Z", 1_123_456_789),
        ("1970-01-01T02:00:01.5+02:00", 1_500_000_000),  # Podman, in a zone of its own
        ("1970-01-01T00:00:01", 1_000_000_000),
    ],
)
def test_a_time_keeps_its_nanoseconds_and_its_zone(printed: str, expected: int) -> None:
    """A time that is not understood would leave out a whole source."""
    assert nanoseconds(printed) == expected


class Engine:
    """A container whose log has these pieces, as Docker's engine hands them on."""

    id, name = "c1", "shop"

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def logs(self, **_: object) -> Iterator[bytes]:
        yield from self._pieces


def test_a_line_that_the_engine_cut_is_whole_again() -> None:
    """It puts the time of the line before each 16 KiB of it, which would stand in the midst of a record of JSON."""
    stamp = b"2026-11-29T08:00:00.123456789Z "
    engine = Engine(stamp + b"{" + b"a" * 16383, stamp + b"b" * 16384, stamp + b"}\n", stamp + b"next\n")
    chunk = asyncio.run(Container(engine, "stderr", "shop", "m", 0.0).read({"time": 0, "seen": {}}))

    assert list(chunk.batches[0].lines) == [b"{" + b"a" * 16383 + b"b" * 16384 + b"}", b"next"]


ID = "0f" * 32


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/var/log/shop/shop.log", "shop"),
        ("/var/log/shop/shop.error.log", "shop"),
        ("/var/log/shop/shop-2026-11-30.log", "shop"),
        ("/var/log/shop/shop_20261130T0915.log", "shop"),
        ("/var/log/shop/shop_2026-11-30T09:15:00.log", "shop"),
        ("/var/log/shop/shop-2026-11-30-1.log", "shop"),
        ("/var/log/shop/shop-30012345.log", "shop-30012345"),
        ("/var/log/shop/2026-11-30.log", "shop"),
        ("/var/log/shop/2026/11/30.log", "shop"),
        ("/var/log/shop/web-12.log", "web"),
        ("/var/log/shop/s3.log", "s3"),
        ("/var/log/shop/.log", "shop"),
        (f"/var/log/containers/web-6d4cf56db6-zx2jk_shop_api-{ID}.log", "api"),
        ("/var/log/pods/shop_web-6d4cf56db6-zx2jk_11111111-1111-4111-8111-111111111111/api/3.log", "api"),
        (f"/var/lib/docker/containers/{ID}/{ID}-json.log", ID[:12]),
    ],
)
def test_a_file_has_the_service_of_its_layout(path: str, service: str) -> None:
    """A day, a pod or a container more is the same service: else each restart would raise the severity."""
    assert services.of_file(Path(path)) == service


@pytest.mark.parametrize(
    ("labels", "service"), [('{"com.docker.compose.service": "web"}', "web"), ("{}", "shop-web"), ("null", "shop-web")]
)
def test_dockers_own_file_names_the_service(tmp_path: Path, labels: str, service: str) -> None:
    """The name and the labels of a container stand in the file beside its log."""
    (tmp_path / "config.v2.json").write_text(f'{{"Name": "/shop-web-1", "Config": {{"Labels": {labels}}}}}')

    assert services.of_file(tmp_path / f"{ID}-json.log") == service


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("web-1", "web"),
        ("shop_web_12", "shop_web"),
        ("web.1", "web"),
        ("web-6d4cf56db6-zx2jk", "web"),
        ("pod/web-6d4cf56db6-zx2jk/api", "web"),
        ("backup-28374650-zx2jk", "backup"),  # each run of a CronJob
        ("rate-limiter", "rate-limiter"),
        ("web-frontend-nginx", "web-frontend-nginx"),
        ("shop-2026", "shop-2026"),
        ("s3", "s3"),
    ],
)
def test_replicas_are_one_service(name: str, service: str) -> None:
    """The number or the id of a replica is no part of a service's name."""
    assert services.plain(name) == service
