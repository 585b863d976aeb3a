from pathlib import Path

import pytest

from testbay.manifest.compose.reading import Built, ComposeService, Volume
from testbay.manifest.compose.recognition import is_replica, room_of, room_of_image

POSTGRES = """
postgres postgres:16-alpine docker.io/library/postgres:15 postgresql bitnami/postgresql:17
bitnamilegacy/postgresql postgis/postgis:16-3.4 kartoza/postgis imresamu/postgis-arm64
timescale/timescaledb:2.17.0-pg16 timescale/timescaledb-ha:pg17 pgvector/pgvector:pg16 ankane/pgvector
citusdata/citus:12 paradedb/paradedb supabase/postgres:15.1 cimg/postgres:14.0
registry:5000/team/postgres@sha256:abc arm64v8/postgres apache/age bitnami/postgresql-repmgr
quay.io/sclorg/postgresql-15-c9s tensorchord/pgvecto-rs:pg14 ghcr.io/immich-app/postgres:14 groonga/pgroonga
postgres16
"""
DRAGONFLY = """
redis redis:7-alpine valkey/valkey:8 bitnami/redis:7.2 bitnami/valkey redis/redis-stack
redis/redis-stack-server:latest eqalpha/keydb docker.dragonflydb.io/dragonflydb/dragonfly:v1
ghcr.io/dragonflydb/dragonfly cimg/redis quay.io/sclorg/redis-7-c9s redislabs/rejson redislabs/redismod
valkey/valkey-bundle redislabs/redisearch arm64v8/redis falkordb/falkordb:v4
"""
NATS = "nats nats:2.10-alpine bitnami/nats library/nats synadia/nats-server nats:latest@sha256:abc"
OTHER = """
prometheuscommunity/postgres-exporter:v0.15.0 wrouesnel/postgres_exporter bitnami/postgres-exporter
oliver006/redis_exporter natsio/prometheus-nats-exporter rediscommander/redis-commander
redis/redisinsight:latest redislabs/redisinsight bitnami/redis-sentinel bitnami/redis-exporter
s7anley/redis-sentinel-docker natsio/nats-box natsio/nats-surveyor natsio/nats-server-config-reloader
dpage/pgadmin4 postgrest/postgrest edoburu/pgbouncer bitnami/pgbouncer bitnami/pgpool
prodrigestivill/postgres-backup-local kartoza/pg-backup schickling/postgres-backup-s3
jbergknoff/postgresql-client supabase/postgres-meta nats-streaming grokzen/redis-cluster bitnami/redis-cluster
mysql mariadb mongo adminer minio/minio timescale/promscale hasura/graphql-engine sosedoff/pgweb
clinic_production_postgres team/postgres-migrations natsio/jetstream-controller redis-cli
myorg/postgres/backup zalando/postgres-operator
"""


def service(image: str, *command: str, entrypoint: tuple[str, ...] | None = None) -> ComposeService:
    return ComposeService(key="x", image=image, command=command, entrypoint=entrypoint)


@pytest.mark.parametrize(
    ("images", "room"), [(POSTGRES, "postgres"), (DRAGONFLY, "dragonfly"), (NATS, "nats"), (OTHER, "")]
)
def test_a_server_is_known_by_the_whole_name_of_its_image(images: str, room: str) -> None:
    """Whatever registry, path, tag and digest surround it; a tool that is called after a server is another thing."""
    assert {image: room_of_image(image) for image in images.split()} == dict.fromkeys(images.split(), room)


@pytest.mark.parametrize(
    ("image", "target", "access", "room"),
    [
        ("zulip/zulip-postgresql:14", "/var/lib/postgresql/data", "rw", "postgres"),
        ("acme_postgres16", "/var/lib/postgresql", "rw", "postgres"),
        ("zulip/zulip-postgresql:14", "/var/lib/postgresql/data", "ro", ""),
        ("zulip/zulip-postgresql:14", "/etc/postgresql", "rw", ""),
        ("acme/postgres-backup", "/var/lib/postgresql/data", "rw", ""),
        ("acme/api", "/var/lib/postgresql/data", "rw", ""),
    ],
)
def test_an_image_of_a_teams_own_is_postgres_if_it_holds_the_databases(
    image: str, target: str, access: str, room: str
) -> None:
    """Its name says PostgreSQL and its volume is at the data folder; a tool has one of the two."""
    volume = Volume(type="volume", source="data", target=target, read_only=access == "ro")

    assert room_of(ComposeService(key="x", image=image, volumes=(volume,))) == room


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("postgres", ()),
        ("postgres", ("postgres", "-c", "fsync=off")),
        ("postgres", ("-c", "max_connections=200")),
        ("postgres", ("docker-entrypoint.sh", "postgres")),
        ("postgres", ("sh", "-c", "chown -R postgres /x && exec docker-entrypoint.sh postgres")),
        ("redis", ("redis-server", "/usr/local/etc/redis/redis.conf")),
        ("redis", ("--requirepass", "x")),
        ("redis", ("/bin/sh", "-c", 'redis-server --requirepass "$PASSWORD"')),
        ("redis", ("sh", "-c", "sysctl vm.overcommit_memory=1; exec redis-server --save ''")),
        ("redis", ("bash", "-c", "REDIS=1 redis-server & redis-cli ping; wait")),
        ("nats", ("-js", "-m", "8222")),
        ("nats", ("nats-server", "-c", "/etc/nats.conf")),
    ],
)
def test_a_command_of_the_server_starts_it(image: str, command: tuple[str, ...]) -> None:
    """Its flags alone, its program, or a shell that starts it."""
    assert room_of(service(image, *command)) != ""


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("postgres", ("psql", "-h", "db", "-U", "postgres", "-f", "/seed.sql")),
        ("postgres", ("pg_dump", "-h", "db")),
        ("postgres", ("sh", "-c", "until pg_isready -h postgres; do sleep 1; done; psql -h postgres -f /x.sql")),
        ("postgres", ("bash", "-c", "while true; do pg_dump -h db postgres > /backup/x; sleep 86400; done")),
        ("postgres", ("/scripts/backup.sh",)),
        ("postgres", ("sh", "/init-db.sh")),
        ("redis", ("redis-cli", "--cluster", "create", "a:6379")),
        ("redis", ("redis-sentinel", "/etc/sentinel.conf")),
        ("redis", ("redis-server", "/etc/redis.conf", "--sentinel")),
        ("redis", ("sh", "-c", "sleep 5 && redis-cli -h redis FLUSHALL")),
        ("nats", ("nats", "stream", "add")),
    ],
)
def test_a_client_or_a_job_in_the_servers_image_is_not_the_server(image: str, command: tuple[str, ...]) -> None:
    """Also when its arguments name the server."""
    assert room_of(service(image, *command)) == ""
    assert room_of(service(image, entrypoint=command)) == ""


@pytest.mark.parametrize(
    ("script", "command", "room"),
    [
        ("exec redis-server /r.conf", (), "dragonfly"),
        ('exec "$@"', ("redis-server",), "dragonfly"),
        ('exec "$@"', ("redis-cli", "ping"), ""),
        ("redis-cli -h redis flushall", (), ""),
    ],
)
def test_a_server_is_told_by_the_script_that_starts_it(
    tmp_path: Path, script: str, command: tuple[str, ...], room: str
) -> None:
    """Also one that is called as a job is, in an image that is built."""
    (tmp_path / "init.sh").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    copied = (Volume(type="bind", source=str(tmp_path / "init.sh"), target="/init.sh"),)
    built = ComposeService(
        key="x", image="", command=command, entrypoint=("/init.sh",), built=Built(base="redis:7", copied=copied)
    )

    assert room_of(built) == room


def test_a_replica_is_told_from_the_server_that_it_follows() -> None:
    """By its flag or by the variable of its image."""
    follower = ComposeService(key="x", image="bitnami/redis", environment={"REDIS_REPLICATION_MODE": "slave"})

    assert is_replica(service("redis", "redis-server", "--replicaof", "redis", "6379"))
    assert is_replica(follower)
    assert is_replica(service("redis", "sh", "-c", "redis-server --port 7001 --cluster-enabled yes &"))
    assert not is_replica(service("redis", "redis-server"))


def test_a_replica_is_told_by_what_its_image_brings(tmp_path: Path) -> None:
    """The Dockerfile copies the configuration that its command names."""
    conf = tmp_path / "redis.conf"
    conf.write_text("port 6380\nslaveof first 6379\n", encoding="utf-8")
    copied = (Volume(type="bind", source=str(conf), target="/etc/redis.conf"),)
    built = ComposeService(
        key="x", image="", command=("redis-server", "/etc/redis.conf"), built=Built(base="redis:7", copied=copied)
    )

    assert is_replica(built)
