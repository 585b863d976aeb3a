from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.harness.dependencies import ROOMS
from testbay.harness.engines import compose as engine
from testbay.harness.plans import Published, name_of
from testbay.harness.stack import containers
from testbay.manifest.compose.reading import Built, ComposeFile, ComposeService, Granted, Prerequisite, Volume

DATA = {"type": "tmpfs", "target": "/var/lib/postgresql/data", "tmpfs": {"mode": 0o1777}}


def service(key: str = "db", image: str = "postgres:16", **facts: Any) -> ComposeService:
    environment = {"POSTGRES_PASSWORD": "p$w"} | facts.pop("environment", {})
    definition = {"image": image, "environment": environment} | facts.pop("definition", {})
    return ComposeService(key=key, image=image, environment=environment, definition=definition, **facts)


def document(server: ComposeService, *helpers: ComposeService, **top: Any) -> dict[str, Any]:
    file = ComposeFile(path=Path("/p/compose.yml"), services=(server, *helpers), definition=top)
    return containers.document(file, {"postgres": server}, helpers)


def test_nothing_that_reaches_another_stack_is_handed_over() -> None:
    """No name, port, network, profile or label of the developer's; what he says of the server itself stays."""
    his: dict[str, Any] = {
        "container_name": "mine",
        "ports": [{"target": 5432}],
        "networks": {"net": None},
        "restart": "always",
    }
    his |= {"labels": {"traefik.enable": "true"}, "profiles": ["x"], "shm_size": "256mb", "deploy": {}, "x-a": 1}

    assert document(service(definition=his)) == {
        "services": {
            "db": {
                "image": "postgres:16",
                "environment": {"POSTGRES_PASSWORD": "p$w"},
                "shm_size": "256mb",
                "volumes": [DATA],
            }
        }
    }


@pytest.mark.parametrize(
    ("image", "environment", "folder"),
    [
        ("postgres:16", {}, "/var/lib/postgresql/data"),
        ("postgres:18-alpine", {}, "/var/lib/postgresql"),
        ("postgres:latest", {}, "/var/lib/postgresql"),
        ("postgis/postgis:16-3.4", {"PGDATA": "/data/pg"}, "/data/pg"),
    ],
)
def test_the_data_folder_is_in_memory(image: str, environment: dict[str, str], folder: str) -> None:
    """Where the image has it: 18 moved it."""
    made = document(service(image=image, environment=environment))

    assert [mount["target"] for mount in made["services"]["db"]["volumes"]] == [folder]


def test_what_a_dockerfile_copies_into_the_data_folder_stays() -> None:
    """A mount there would hide the redis.conf that the command names."""
    copied = (Volume(type="bind", source="/h/redis.conf", target="/data/redis.conf"),)
    plain = ComposeService(key="cache", image="", build=True, built=Built(base="redis:7"))
    brought = replace(plain, built=Built(base="redis:7", copied=copied))
    file = ComposeFile(path=Path("/p/compose.yml"), services=(plain,))

    made = [containers.document(file, {"dragonfly": one}, ())["services"]["cache"] for one in (plain, brought)]
    assert [[mount["target"] for mount in one.get("volumes", [])] for one in made] == [["/data"], []]


@pytest.mark.parametrize(
    ("volume", "environment", "targets"),
    [
        (Volume(type="volume", source="pgdata", target="/var/lib/postgresql/data"), {}, ["/var/lib/postgresql/data"]),
        (Volume(type="volume", source="", target="/var/lib/postgresql/data"), {}, ["/var/lib/postgresql/data"]),
        (Volume(type="bind", source="/h/pg", target="/var/lib/postgresql"), {}, ["/var/lib/postgresql"]),
        (Volume(type="bind", source="/h/pg", target="/data"), {"PGDATA": "/data/pg"}, ["/data"]),
        (Volume(type="bind", source="/h/pg", target="/elsewhere"), {}, ["/elsewhere", "/var/lib/postgresql/data"]),
    ],
)
def test_a_mount_of_data_is_never_used(volume: Volume, environment: dict[str, str], targets: list[str]) -> None:
    """Named, unnamed or bound: an empty RAM disk takes its place, and the run says so."""
    asked = service(volumes=(volume,), environment=environment)
    mounts = document(asked)["services"]["db"]["volumes"]

    assert [(mount["type"], mount["target"]) for mount in mounts] == [("tmpfs", target) for target in targets]
    said = f"{volume.source or 'an unnamed volume'}:{volume.target}"
    assert list(containers.left_out({"postgres": asked}, ())) == [
        f"service 'db' begins with empty data in memory: {said} is not used"
    ]


def test_a_mount_of_configuration_is_read_only(tmp_path: Path) -> None:
    """Scripts, and files, whatever the compose file allows the container, and what it may only read."""
    (tmp_path / "init").mkdir()
    (tmp_path / "pg.conf").touch()
    volumes = (
        Volume(type="bind", source=str(tmp_path / "init"), target="/docker-entrypoint-initdb.d"),
        Volume(type="bind", source=str(tmp_path / "pg.conf"), target="/etc/pg.conf"),
        Volume(type="bind", source=str(tmp_path), target="/seed", read_only=True),
    )
    mounts = document(service(volumes=volumes))["services"]["db"]["volumes"]

    assert [(mount["type"], mount.get("read_only")) for mount in mounts] == [
        ("bind", True),
        ("bind", True),
        ("bind", True),
        ("tmpfs", None),
    ]


def test_a_mount_within_a_folder_finds_its_place(tmp_path: Path) -> None:
    """Docker would make it in the folder, which is read-only: so its entries are mounted, one by one."""
    for name in ("init/1.sql", "init/sub/2.sql", "more.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "init/gone").symlink_to("nowhere")
    folder = "/docker-entrypoint-initdb.d"
    volumes = (
        Volume(type="bind", source=str(tmp_path / "init"), target=folder),
        Volume(type="bind", source=str(tmp_path / "more.sh"), target=f"{folder}/sub/9.sh"),
    )
    made = document(service(volumes=volumes, tmpfs=(f"{folder}/tmp:mode=1777",)))["services"]["db"]["volumes"]

    assert [(mount["target"], mount.get("source")) for mount in made[:-1]] == [
        (f"{folder}/1.sql", str(tmp_path / "init/1.sql")),
        (f"{folder}/sub/2.sql", str(tmp_path / "init/sub/2.sql")),
        (f"{folder}/sub/9.sh", str(tmp_path / "more.sh")),
    ]


def test_an_image_that_does_not_begin_as_root_gets_a_fresh_volume() -> None:
    """A RAM disk belongs to root; a volume of the stack's own takes the folder's owner, and goes with the stack."""
    folder = ROOMS["postgres"].described(service(image="timescale/timescaledb-ha:pg16")).data[0]
    volumes = (Volume(type="volume", source="pgdata", target=folder),)
    made = document(service(image="timescale/timescaledb-ha:pg16", volumes=volumes))

    assert made["services"]["db"]["volumes"] == [{"type": "volume", "source": "db-0", "target": folder}]
    assert made["volumes"] == {"db-0": {}}


def test_a_container_of_another_user_gets_a_folder_of_his() -> None:
    """As the bind mount would be that it stands for: initdb refuses a folder of somebody else."""
    folder = "/var/lib/postgresql/data"
    bound = Volume(type="bind", source="/h/pg", target=folder)
    made = document(service(user="1000:50", volumes=(bound,), definition={"tmpfs": ["/tmp"]}))["services"]["db"]

    assert made["tmpfs"] == ["/tmp", f"{folder}:uid=1000,gid=50,mode=0700"]
    assert "volumes" not in made


def test_a_volume_that_a_helper_fills_is_the_servers_too() -> None:
    """Certificates, for example; it is the stack's own, as all volumes are."""
    filled = Volume(type="volume", source="certs", target="/certs")
    server = service(volumes=(replace(filled, read_only=True),))
    made = document(server, service("maker", "certs:1", volumes=(filled,)))

    shared = {"type": "volume", "source": "certs-shared", "target": "/certs"}
    assert [one["volumes"] for one in made["services"].values()] == [[shared | {"read_only": True}, DATA], [shared]]
    assert made["volumes"] == {"certs-shared": {}}
    assert list(containers.left_out({"postgres": server}, (service("maker", volumes=(filled,)),))) == [
        "service 'maker' begins with empty volumes: certs:/certs is not used"
    ]


def test_a_helper_reads_the_project_and_writes_elsewhere(tmp_path: Path) -> None:
    """Its volumes are the stack's own, its waits those of what is started, and every name it had leads to it."""
    helper = service(
        "migrate",
        "tool:1",
        volumes=(
            Volume(type="bind", source=str(tmp_path), target="/sql"),
            Volume(type="volume", source="cache", target="/cache"),
        ),
        depends_on=(Prerequisite(service="db", condition="service_healthy"), Prerequisite(service="web")),
        container_name="shop-migrate",
        definition={
            "networks": {"back": {"aliases": ["tool"]}},
            "depends_on": {"web": {}},
            "container_name": "shop-migrate",
            "links": ["db:database", "web"],
        },
    )
    made = document(service(), helper)["services"]["migrate"]

    assert made["volumes"] == [
        {"type": "bind", "source": str(tmp_path), "target": "/sql", "read_only": True},
        {"type": "volume", "source": "migrate-1", "target": "/cache"},
    ]
    assert made["depends_on"] == {"db": {"condition": "service_healthy", "required": True}}
    assert made["networks"] == {"default": {"aliases": ["shop-migrate", "tool"]}}
    assert (made["links"], "container_name" in made) == (["db:database"], False)
    assert list(containers.left_out({}, [helper])) == [
        "service 'migrate' begins with empty volumes: cache:/cache is not used"
    ]


def test_secrets_and_configs_come_along() -> None:
    """From files, from the compose file itself, and from the environment under a name of testbay's."""
    secrets = (Granted(name="pw", target="/run/secrets/pw", content="s3"),)
    configs = (Granted(name="c", target="/c", content="x"),)
    asked = service(secrets=secrets, configs=configs)
    made = document(
        asked, secrets={"pw": {"environment": "PW"}, "other": {"file": "/x"}}, configs={"c": {"content": "x"}}
    )

    assert made["secrets"] == {"pw": {"environment": "GRANTED_PW"}}
    assert made["configs"] == {"c": {"content": "x"}}
    assert containers.variables([asked])["GRANTED_PW"] == "s3"


def test_our_configuration_takes_the_place_of_the_file() -> None:
    """NATS with an account for each lease, its flags and JetStream kept."""
    given: dict[str, Any] = {
        "command": ["-m", "8222"],
        "read_only": True,
    }  # no configuration can be copied into what is read-only
    bus = ComposeService(key="bus", image="nats:2.12", command=("-m", "8222"), definition=given)
    made = containers.document(ComposeFile(path=Path("/p/c.yml"), services=(bus,)), {"nats": bus}, ())

    assert "read_only" not in made["services"]["bus"]
    assert made["services"]["bus"]["command"] == ["-js", "-m", "8222", "--config", "/testbay-nats.conf"]
    assert made["services"]["bus"]["configs"] == [{"source": "testbay-bus", "target": "/testbay-nats.conf"}]
    assert "no_auth_user: main" in made["configs"]["testbay-bus"]["content"]


def test_a_service_without_an_image_is_built_under_a_name_of_ours() -> None:
    """One for each way to build it."""
    built = replace(service(image=""), build=True, definition={"build": {"context": "/p"}})

    assert containers.image_of(built).startswith(engine.BUILT)
    assert containers.image_of(built) != containers.image_of(replace(built, definition={"build": {"context": "/q"}}))


def test_the_guard_writes_its_ports_into_it() -> None:
    """On loopback, every dollar doubled: Compose fills nothing in."""
    published: Published = {"name": "postgres", "service": "db", "container": 5431, "port": 5432, "fixed": False}
    text = engine._text({"services": {"db": {"environment": {"PW": "p$w"}}}}, [published], {"postgres": 15433})

    assert text == (
        '{"services": {"db": {"environment": {"PW": "p$$w"}, '
        '"ports": [{"target": 5431, "published": "15433", "host_ip": "127.0.0.1"}]}}}'
    )


def mounts(folder: Path, *places: str, **facts: Any) -> list[tuple[str, str]]:
    """What becomes of files and folders mounted from a project: the type of each and its target."""
    volumes = tuple(
        Volume(type="bind", source=str(folder / name), target=target)
        for name, _, target in (place.partition(":") for place in places)
    )
    made = document(service(volumes=volumes, **facts))["services"]["db"]["volumes"]
    return [(mount["type"], mount["target"]) for mount in made]


SEED = Granted(name="s", target="/docker-entrypoint-initdb.d/1.sql", content="COPY t FROM '/seed/start.sh'")


@pytest.mark.parametrize(
    ("place", "facts", "expected"),
    [
        ("own:/opt/own", {"entrypoint": ("/opt/own/start.sh",)}, ("bind", "/opt/own")),
        ("own:/opt/own", {"environment": {"CERTIFICATE": "/opt/own/start.sh"}}, ("bind", "/opt/own")),
        ("own:/logs", {"command": ("-c", "log_directory=/logs")}, ("tmpfs", "/logs")),
        ("own:/logs", {"command": ("--logfile", "/logs/old.log")}, ("tmpfs", "/logs")),
        ("own:/var/log/postgresql", {}, ("volume", "/var/log/postgresql")),
        ("own:/wal", {"environment": {"POSTGRES_INITDB_WALDIR": "/wal"}}, ("tmpfs", "/wal")),
        ("own/start.sh:/start.sh", {}, ("bind", "/start.sh")),
        ("own:/seed", {"configs": (SEED,)}, ("bind", "/seed")),
    ],
)
def test_a_folder_is_configuration_where_the_service_names_a_file_of_it(
    tmp_path: Path, place: str, facts: dict[str, Any], expected: tuple[str, str]
) -> None:
    """A folder that a server writes into, for logs or for the WAL, is empty and new."""
    (tmp_path / "own").mkdir()
    for name in ("start.sh", "old.log"):
        (tmp_path / "own" / name).touch()

    assert mounts(tmp_path, place, **facts) == [expected, ("tmpfs", DATA["target"])]


def test_a_file_in_the_cluster_and_one_that_is_missing_are_left_out(tmp_path: Path) -> None:
    """Initdb refuses a folder with a file in it, and Docker would make a folder in the place of a missing file."""
    (tmp_path / "pg_hba.conf").touch()
    given = ("pg_hba.conf:/var/lib/postgresql/data/pg_hba.conf", "no.sql:/docker-entrypoint-initdb.d/no.sql")

    assert mounts(tmp_path, *given) == [("tmpfs", DATA["target"])]


def test_a_docker_that_does_not_answer_has_not_removed_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's silence does not count as an empty list: the record stays, and `testbay gc` asks again."""
    monkeypatch.setenv("PATH", str(tmp_path))
    project = name_of("shop-1")

    assert engine.collect({"id": "shop-1", "compose_project": project}) == [
        f"the containers of {project}, since docker does not answer"
    ]


def test_a_stack_is_collected_on_the_docker_engine_it_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker context use` may have chosen another since, which knows nothing of the stack: that is no clean end."""
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$DOCKER_HOST" >>{tmp_path}/asked\n', encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", "unix:///todays.sock")
    record = {"id": "shop-1", "compose_project": name_of("shop-1"), "docker_host": "unix:///its.sock"}

    assert engine.collect(record) == []
    assert set((tmp_path / "asked").read_text(encoding="utf-8").split()) == {"unix:///its.sock"}


FAILING = """#!/bin/sh
for container; do :; done
case "$1 $container" in
ps*) echo 'job c1'; echo 'db c2'; echo 'cache c3' ;;
'inspect c1') echo '{"Status": "exited", "ExitCode": 3}' ;;
'inspect c2') echo '{"Status": "running", "Health": {"Status": "unhealthy", "Log": [{"Output": "no response"}]}}' ;;
'inspect c3') echo '{"Status": "exited", "ExitCode": 0}' ;;
'logs c1') echo 'job broke' ;;
'logs c2') echo 'waiting for a licence' ;;
esac
"""


def test_what_compose_could_not_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose only says that a job ended, or that a server is not healthy; their own last lines say why."""
    (tmp_path / "docker").write_text(FAILING, encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert engine._last_words("testbay-shop-1") == [
        "job | job broke",
        "db | waiting for a licence",
        "db, health check | no response",
    ]
