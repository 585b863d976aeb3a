"""Services that are built: what their Dockerfile says without building it."""

from pathlib import Path

import pytest

from testbay.manifest.compose import dockerfile, reader
from testbay.manifest.compose.reading import Built, ComposeService, Volume
from testbay.manifest.compose.selection import found, select

OWN_POSTGRES = """\
# syntax=docker/dockerfile:1
ARG MAJOR=14
FROM golang:1 AS tool
RUN go build
FROM postgres:${MAJOR}-alpine AS base
ENV POSTGRES_USER="my user" \\
    # a comment between
    POSTGRES_DB=shop
FROM base
ARG WHO
ENV LEGACY old style
COPY --chown=postgres init/*.sql /docker-entrypoint-initdb.d/
COPY --from=tool /bin/tool /bin/tool
RUN <<END
FROM scratch
END
RUN chmod +x /x
WORKDIR /etc
ADD ../../pg.conf pg/
USER $WHO
CMD ["postgres", "-c", "max_connections=9"]
"""


def built(folder: Path, text: str, **build: object) -> Built:
    (folder / "Dockerfile").write_text(text)
    return dockerfile.read({"context": str(folder), **build})


def service(folder: Path, text: str, key: str = "db", more: str = "") -> ComposeService:
    (folder / f"{key}.Dockerfile").write_text(text)
    (folder / "compose.yml").write_text(
        f"services: {{{key}: {{build: {{context: ., dockerfile: {key}.Dockerfile}}{more}}}}}"
    )
    return reader.own_reading([folder / "compose.yml"], {}).services[0]


def test_a_dockerfile_is_read_with_its_stages_arguments_and_copies(tmp_path: Path) -> None:
    """What the result gets counts; of other stages, and of commands, only the name is told."""
    (tmp_path / "init").mkdir()
    files = [tmp_path / "init/a.sql", tmp_path / "init/b.sql", tmp_path / "pg.conf"]
    for file in files:
        file.touch()
    places = ("/docker-entrypoint-initdb.d/a.sql", "/docker-entrypoint-initdb.d/b.sql", "/etc/pg/pg.conf")

    assert built(tmp_path, OWN_POSTGRES, args={"MAJOR": "16", "WHO": "postgres"}) == Built(
        base="postgres:16-alpine",
        environment={"POSTGRES_USER": "my user", "POSTGRES_DB": "shop", "LEGACY": "old style"},
        command=("postgres", "-c", "max_connections=9"),
        user="postgres",
        copied=tuple(Volume(type="bind", source=str(f), target=to) for f, to in zip(files, places, strict=True)),
        left_out=("COPY --from=tool /bin/tool /bin/tool", "RUN <<END"),
    )
    assert built(tmp_path, OWN_POSTGRES, target="base").base == "postgres:14-alpine"


@pytest.mark.parametrize(
    ("line", "is_told"),
    [
        ("mkdir -p /x && chmod 700 /x", False),
        ("chmod +x /x; true", False),
        ("echo 'ALTER SYSTEM SET work_mem = 1' >> /docker-entrypoint-initdb.d/a.sql", True),
        ("chmod +x /x && apt-get install -y x", True),
        ("echo x | tee /etc/x", True),
    ],
)
def test_a_command_that_may_change_the_server_is_told(tmp_path: Path, line: str, *, is_told: bool) -> None:
    """Embedded runs none of them; `echo` into a file is a setting."""
    assert bool(built(tmp_path, f"FROM postgres:16\nRUN {line}").left_out) is is_told


@pytest.mark.parametrize(
    "text", ["", "FROM", "RUN x\\", "FROM a AS a", "FROM b AS a\nFROM a AS b", "COPY\nFROM x\nCOPY"]
)
def test_a_dockerfile_that_says_nothing_stops_nothing(tmp_path: Path, text: str) -> None:
    """Docker's own build says what is wrong with it."""
    assert built(tmp_path, text).command == ()


def test_a_missing_dockerfile_and_one_that_is_no_file_are_empty(tmp_path: Path) -> None:
    """An application that is not started may lack what it likes."""
    assert dockerfile.read({"context": str(tmp_path)}) == Built()
    assert dockerfile.read({"context": str(tmp_path), "dockerfile": "/dev/zero"}) == Built()
    assert dockerfile.read({"dockerfile_inline": "FROM redis:7"}).base == "redis:7"


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        ("FROM docker.io/library/postgres:15\nRUN mv /a /b", ["postgres"]),
        ('FROM redis:7\nCMD ["sh", "-c", "exec redis-server --requirepass $P"]', ["dragonfly"]),
        ('FROM nats:2\nENTRYPOINT ["/nats-server"]', ["nats"]),
        ('FROM postgres:15\nENTRYPOINT ["/backup.sh"]', []),
        ('FROM postgres:15\nENTRYPOINT ["sh", "/go"]', []),
        ("FROM python:3.12\nRUN pip install redis", []),
    ],
)
def test_a_built_service_is_the_server_that_it_begins_from(tmp_path: Path, text: str, rooms: list[str]) -> None:
    """One that starts an unknown program is not taken for the server."""
    service(tmp_path, text)

    assert found(reader.own_reading([tmp_path / "compose.yml"], {})) == rooms


def test_an_image_of_a_registry_comes_before_one_that_is_built(tmp_path: Path) -> None:
    """A file with both meant the plain one until now."""
    service(tmp_path, "FROM postgres:15", more="}, pg: {image: 'postgres:15'")

    assert select(reader.own_reading([tmp_path / "compose.yml"], {}), ["postgres"]).servers["postgres"].key == "pg"


def test_the_compose_file_comes_before_the_dockerfile(tmp_path: Path) -> None:
    """An entrypoint of the compose file clears the command of the image, as Docker does."""
    text = 'FROM postgres:15\nENV A=image B=image\nENTRYPOINT ["e"]\nCMD ["c"]'
    given = service(tmp_path, text, more=", environment: {B: file}, entrypoint: [x]")

    assert (given.environment, given.entrypoint, given.command) == ({"A": "image", "B": "file"}, ("x",), ())
    assert given.origins == {"A": "the Dockerfile", "B": "environment"}
    assert (given.repository, given.tag, given.image) == ("postgres", "15", "")


BOMBS = {
    "growing variables": "FROM x\nENV A=" + "x" * 99 + "\n" + "ENV A=$A$A\n" * 60,
    "a long variable often": "FROM x\nENV A=" + "x" * 9000 + "\n" + "".join(f"ENV B{n}=$A\n" for n in range(9000)),
    "lines that go on": "FROM x\nRUN a" + "\\\na" * 200_000,
    "stages": "FROM x\nRUN y\n" * 60_000,
    "a folder of folders": "FROM x\nCOPY */*/*/*/*/* /docker-entrypoint-initdb.d/",
    "everything below": "FROM x\nCOPY ** ../../**/* /docker-entrypoint-initdb.d/",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_dockerfile_of_a_stranger_costs_nothing(name: str) -> None:
    """Its context may be the whole machine, its text a page that grows."""
    made = dockerfile.read({"context": "/", "dockerfile_inline": BOMBS[name]})

    assert sum(map(len, made.environment.values())) <= 1_000_000
    assert [volume.source.count("/") for volume in made.copied if volume.source.count("/") > 1] == []


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("COPY pw /run/pw", "/run/pw"),
        ("COPY pw /docker-entrypoint-initdb.d", "/docker-entrypoint-initdb.d/pw"),
        ("COPY pw .", "/w/pw"),
        ("COPY pw x/", "/w/x/pw"),
        ('COPY ["pw", "/a b"]', "/a b"),
    ],
)
def test_a_copy_has_the_place_that_docker_gives_it(tmp_path: Path, line: str, target: str) -> None:
    """Without a slash it is a file, except in a folder that is there."""
    (tmp_path / "pw").touch()

    assert built(tmp_path, f"FROM x\nWORKDIR /w\n{line}").copied[0].target == target


@pytest.mark.parametrize(("base", "target"), [("redis:7", "/data/pw"), ("valkey/valkey", "/data/pw"), ("nats", "/pw")])
def test_a_copy_without_a_folder_comes_into_the_images_own(tmp_path: Path, base: str, target: str) -> None:
    """That of Redis and its kin is the folder of the data."""
    (tmp_path / "pw").touch()

    assert built(tmp_path, f"FROM {base}\nCOPY pw .").copied[0].target == target
