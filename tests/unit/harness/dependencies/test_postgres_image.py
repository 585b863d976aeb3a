from dataclasses import replace
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.harness.dependencies.endpoint import Server
from testbay.harness.dependencies.postgres import collation, image, native, programs
from testbay.harness.dependencies.postgres import server as postgres
from testbay.harness.dependencies.postgres.collation import order
from testbay.manifest.compose import reader
from testbay.manifest.compose.reading import ComposeService, Granted, Volume


def service(name: str = "postgres:16", **facts: object) -> ComposeService:
    environment = {"POSTGRES_PASSWORD": "pw", **facts.pop("environment", {})}  # type: ignore[dict-item]
    return ComposeService(key="db", image=name, environment=environment, **facts)  # type: ignore[arg-type]


def mounted(source: Path, target: str) -> Volume:
    return Volume(type="bind", source=str(source), target=target)


def test_a_password_file_is_read_where_the_secret_lies(tmp_path: Path) -> None:
    """The image reads POSTGRES_PASSWORD_FILE; a line feed at its end belongs to the file."""
    (tmp_path / "pw.txt").write_text("s3cr$t\n")
    granted = Granted(name="pw", target="/run/secrets/pw", file=tmp_path / "pw.txt")
    asked = ComposeService(
        key="db",
        image="postgres:16",
        environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/pw", "POSTGRES_USER": "ann"},
        secrets=(granted,),
    )

    assert (image.config_of(asked).password, image.config_of(asked).db) == ("s3cr$t", "ann")


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({}, "service 'db': postgres:16 does not start without POSTGRES_PASSWORD"),
        (
            {"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/x"},
            "service 'db': POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set",
        ),
        (
            {"POSTGRES_PASSWORD_FILE": "/run/secrets/pw"},
            "service 'db': POSTGRES_PASSWORD_FILE names /run/secrets/pw, which the compose file does not mount",
        ),
        (
            {"POSTGRES_PASSWORD": "a", "POSTGRES_INITDB_ARGS": "--locale='C"},
            "service 'db': POSTGRES_INITDB_ARGS: No closing quotation",
        ),
    ],
)
def test_what_the_image_refuses_is_refused_before_the_start(environment: dict[str, str], what: str) -> None:
    """In one sentence."""
    with pytest.raises(ManifestError) as refused:
        image.config_of(ComposeService(key="db", image="postgres:16", environment=environment))

    assert refused.value.what == what


_OPEN = (
    *("postgres:9.6.16", "postgres:10.11-alpine", "postgres:11.6", "library/postgres:12.1", "postgres:12beta2"),
    *("postgres:9.3", "postgres:8.4", "mdillon/postgis:11-alpine", "timescale/timescaledb:1.4.2-pg11"),
)
_CLOSED = (
    *("postgres:9.6.17", "postgres:9.6", "postgres:9", "postgres:10.12", "postgres:11.7", "postgres:12.2", "postgres"),
    *("postgres:9.4.26", "postgres:alpine", "postgis/postgis:11-2.5", "pgvector/pgvector:pg12", "postgres:13.0"),
    *("timescale/timescaledb:1.7.0-pg12", "timescale/timescaledb:latest-pg11", "postgres:15-alpine3.18"),
)


def test_short_flags_are_settings() -> None:
    """With a value or without one, as the server's own `getopt` has it."""
    config = image.config_of(service(command=("postgres", "-e", "-d2", "-d", "0", "-F", "-N", "9", "-s")))

    assert config.carried == [
        *[("datestyle", "euro"), ("log_min_messages", "debug2"), ("log_min_messages", "notice")],
        *[("fsync", "off"), ("max_connections", "9"), ("log_statement_stats", "on")],
    ]


@pytest.mark.parametrize("name", _OPEN)
def test_images_of_before_2020_start_without_a_password(name: str) -> None:
    """They let everyone in."""
    config = image.config_of(ComposeService(key="db", image=name))

    assert (config.auth, config.password) == ("trust", "")


@pytest.mark.parametrize("name", _CLOSED)
def test_later_images_demand_a_password(name: str) -> None:
    """A tag that moves is the last image of its version."""
    with pytest.raises(ManifestError, match="does not start without POSTGRES_PASSWORD"):
        image.config_of(ComposeService(key="db", image=name))


def test_a_password_from_an_unset_variable_names_the_variable(tmp_path: Path) -> None:
    """The file gives a password; what is missing is the variable's value."""
    (tmp_path / "c.yml").write_text(
        "services: {db: {image: postgres:16, environment: {POSTGRES_PASSWORD: '${PG_PASS}'}}}"
    )
    asked = reader.own_reading([tmp_path / "c.yml"], {}).services[0]

    with pytest.raises(ManifestError) as refused:
        image.config_of(asked)

    assert refused.value.why.endswith(", and it is empty here (PG_PASS is not set)")
    assert refused.value.todo == "set the variable in the shell or in .env"


def test_a_password_that_is_written_empty_is_no_unset_variable(tmp_path: Path) -> None:
    """The advice is about the file."""
    (tmp_path / "c.yml").write_text("services: {db: {image: postgres:16, environment: [POSTGRES_PASSWORD=]}}")
    asked = reader.own_reading([tmp_path / "c.yml"], {}).services[0]

    with pytest.raises(ManifestError) as refused:
        image.config_of(asked)

    assert refused.value.todo == "set POSTGRES_PASSWORD in the service's environment"


@pytest.mark.parametrize(
    ("given", "why"),
    [("external: true", "pw is external"), ("environment: PG_PW", "pw is the variable PG_PW, which is not set")],
)
def test_a_secret_without_a_value_says_why(tmp_path: Path, given: str, why: str) -> None:
    """The service is granted it; nothing is wrong with the mount."""
    text = "services: {db: {image: postgres, environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pw}, secrets: [pw]}}\n"
    (tmp_path / "c.yml").write_text(f"{text}secrets: {{pw: {{{given}}}}}")
    asked = reader.own_reading([tmp_path / "c.yml"], {}).services[0]

    with pytest.raises(ManifestError) as refused:
        image.config_of(asked)

    assert (refused.value.what, refused.value.why) == ("service 'db': /run/secrets/pw has no value here", why)


@pytest.mark.parametrize(
    ("environment", "login"),
    [
        (
            {"POSTGRESQL_USERNAME": "ann", "POSTGRESQL_PASSWORD": "pw", "POSTGRESQL_DATABASE": "shop"},
            ("ann", "pw", "shop", 5432),
        ),
        ({"POSTGRESQL_PASSWORD": "pw", "POSTGRESQL_PORT_NUMBER": "5440"}, ("postgres", "pw", "postgres", 5440)),
        ({"ALLOW_EMPTY_PASSWORD": "yes"}, ("postgres", "", "postgres", 5432)),
    ],
)
def test_bitnamis_variables_are_its_own(environment: dict[str, str], login: tuple[str, str, str, int]) -> None:
    """Its database is `postgres` whatever the user is called."""
    config = image.config_of(ComposeService(key="db", image="bitnami/postgresql:16", environment=environment))

    assert (config.user, config.password, config.db, config.port) == login


def test_a_command_that_cannot_be_followed_is_said() -> None:
    """Once, with the reason."""
    config = image.config_of(service(command=("sh", "-c", "postgres | tee /log")))

    assert [note.partition(": sh")[0] for note in config.notes] == [
        "service 'db': testbay cannot follow its command (its shell line holds '|'), and embedded ignores it"
    ]
    assert config.notes[0].endswith(": sh -c 'postgres | tee /log'")


def test_a_note_on_a_command_is_true_of_both_engines() -> None:
    """In Docker the container runs all of its command; only embedded leaves out what is beside the server."""
    config = image.config_of(service(command=("sh", "-c", "prepare --all && exec postgres")))

    assert config.notes == ("service 'db': embedded does not run `prepare --all` of its command",)


def test_a_mounted_postgresql_conf_counts(tmp_path: Path) -> None:
    """As `config_file` names it; a flag comes after it, and what is the container's is left out by name."""
    conf = tmp_path / "pg.conf"
    conf.write_text("# ours\nwork_mem = 8MB\nshared_preload_libraries = 'auto_explain'  # why\nssl = on\njit off\n")
    command = ("postgres", "-c", "config_file=/etc/pg.conf", "-c", "work_mem=4MB")
    config = image.config_of(service(command=command, volumes=(mounted(conf, "/etc/pg.conf"),)))

    assert config.carried == [
        ("work_mem", "8MB"),
        ("shared_preload_libraries", "auto_explain"),
        ("jit", "off"),
        ("work_mem", "4MB"),
    ]
    assert config.left_out == ("service 'db': embedded leaves out the container's own settings ssl = on",)


def test_a_mounted_postgresql_conf_includes_what_is_mounted_beside_it(tmp_path: Path) -> None:
    """In its place; what is not there is said, unless it need not be."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/b.conf").write_text("work_mem = 2MB\ninclude = '../more.txt'\n")
    (tmp_path / "conf.d/a.conf").write_text("work_mem = 1MB\ninclude_dir = .\n")
    (tmp_path / "conf.d/c.txt").write_text("work_mem = 3MB\n")
    (tmp_path / "more.txt").write_text("jit = off\nssl = off\n")
    (tmp_path / "pg.conf").write_text("include_dir 'conf.d'\ninclude '/image.conf'\ninclude_if_exists = 'no.conf'\n")
    command = ("postgres", "-c", "config_file=/etc/pg/pg.conf")
    config = image.config_of(service(command=command, volumes=(mounted(tmp_path, "/etc/pg"),)))

    assert config.carried == [("work_mem", "1MB"), ("work_mem", "2MB"), ("jit", "off")]
    assert config.left_out == ()
    assert config.notes == ("service 'db': testbay does not follow include /image.conf of /etc/pg/pg.conf",)


def test_a_library_the_server_lacks_is_not_preloaded() -> None:
    """It would not start; the note says which one."""
    server = Server(program=Path("/nowhere/bin/postgres"), version="16.1", source="wheel")
    asked = service("postgres:16-alpine", command=("-c", "shared_preload_libraries=timescaledb"))

    assert "shared_preload_libraries=" in native.plan(asked, server, Path("/s/postgres"))["argv"]
    assert native.notes(asked, server) == ("service 'db': this server lacks the library timescaledb to preload",)


def test_scripts_run_in_the_order_of_the_image(tmp_path: Path) -> None:
    """Debian's images list the folder in English: an underscore comes before a dot; Alpine's by code point."""
    for name in ("init.sql", "init_data.sql", "Zoo.sh", "apple.sql.gz", "readme.md"):
        (tmp_path / name).touch()
    volumes = (mounted(tmp_path, image.INIT_FOLDER),)

    def names(tag: str) -> list[str]:
        return [script.name for script in image.config_of(service(tag, volumes=volumes)).scripts]

    assert names("postgres:16") == ["apple.sql.gz", "init_data.sql", "init.sql", "Zoo.sh"]
    assert names("postgres:16-alpine") == ["Zoo.sh", "apple.sql.gz", "init.sql", "init_data.sql"]


def test_a_script_may_be_a_single_mount_or_a_config(tmp_path: Path) -> None:
    """Each with the name it has in the container; what is not there is said."""
    (tmp_path / "schema.sql").write_text("SELECT 1")
    volumes = (
        mounted(tmp_path / "schema.sql", f"{image.INIT_FOLDER}/1.sql"),
        mounted(tmp_path / "gone.sql", f"{image.INIT_FOLDER}/3.sql"),
    )
    configs = (Granted(name="x", target=f"{image.INIT_FOLDER}/2.sql", content="SELECT 2"),)
    config = image.config_of(service(volumes=volumes, configs=configs))

    assert [(script.name, script.read()) for script in config.scripts] == [
        ("1.sql", b"SELECT 1"),
        ("2.sql", b"SELECT 2"),
    ]
    assert config.notes == (
        "service 'db': nothing is mounted at /docker-entrypoint-initdb.d/3.sql: its source is not there",
    )


def test_a_folder_in_the_place_of_a_script_is_refused(tmp_path: Path) -> None:
    """Its files look as if the image ran them, and it ends at the folder."""
    asked = service(volumes=(mounted(tmp_path, f"{image.INIT_FOLDER}/init.sql"),))

    with pytest.raises(ManifestError) as refused:
        image.config_of(asked)

    assert str(refused.value) == (
        f"service 'db': {tmp_path} is a folder, and /docker-entrypoint-initdb.d/init.sql a script\n"
        "  why:      the image's psql cannot read a folder, and the container ends\n"
        "  do:       mount the folder at /docker-entrypoint-initdb.d, or one of its files at init.sql there"
    )


@pytest.mark.parametrize(
    ("name", "environment", "words"),
    [
        ("postgres:16", {}, "--locale-provider=icu --icu-locale=en-US"),
        ("postgres:16", {"LANG": "de_DE.utf8"}, "--locale-provider=icu --icu-locale=de-DE"),
        ("postgres:16-alpine", {}, ""),
        ("postgres:16", {"POSTGRES_INITDB_ARGS": "--locale=C.UTF-8"}, ""),
        ("postgres:16", {"POSTGRES_INITDB_ARGS": "--no-locale"}, ""),
        (
            "postgres:16-alpine",
            {"POSTGRES_INITDB_ARGS": "--locale-provider=icu --icu-locale=sv"},
            "--locale-provider=icu --icu-locale=sv",
        ),
    ],
)
def test_texts_sort_as_in_the_image(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str], words: str
) -> None:
    """Through ICU where the machine lacks the image's locale."""
    monkeypatch.setattr(programs, "has_icu", lambda _: True)
    monkeypatch.setattr(collation, "_of_this_machine", lambda _: "")
    asked = service(name, environment=environment)
    server = Server(program=Path("/pg/postgres"), version="16.1", source="added")
    made = order(asked, image.config_of(asked), server).words

    assert " ".join(word for word in made if "locale=C" not in word) == words


def test_another_order_is_said_with_what_makes_it_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One loud note, before the start."""
    monkeypatch.setattr(programs, "has_icu", lambda _: False)
    monkeypatch.setattr(collation, "_of_this_machine", lambda _: "")
    asked = service()
    server = Server(program=Path("/pg/postgres"), version="16.1", source="wheel")

    assert order(asked, image.config_of(asked), server).note == (
        "sort order: texts sort by code point ('Zoe' before 'anna'), in the image by its locale en_US.utf8 "
        "('anna' before 'Zoe'); to make them equal: `testbay servers add postgres:16`, or "
        'POSTGRES_INITDB_ARGS: "--locale=C.UTF-8" in the compose file'
    )


def test_trust_asks_nobody_for_a_password() -> None:
    """As the file says; the server listens on loopback alone."""
    asked = ComposeService(key="db", image="postgres:16", environment={"POSTGRES_HOST_AUTH_METHOD": "trust"})
    server = Server(program=Path("/pg/postgres"), version="16.1", source="system")
    made = native.plan(asked, server, Path("/s/postgres"))

    assert "--auth=trust" in made["prepare"][0]["argv"]
    assert made["files"] == {}
    assert postgres.url(postgres.endpoint(asked, 1)) == "postgresql://postgres@localhost:1/postgres"


def test_the_reading_says_what_runs_once(tmp_path: Path) -> None:
    """For `testbay compose`."""
    (tmp_path / "a.sql").touch()
    asked = service(command=("-c", "jit=off"), volumes=(mounted(tmp_path, image.INIT_FOLDER),))
    reading = postgres.described(asked)

    assert (reading.argv, reading.set_up, reading.port) == (("-c", "jit=off"), ("a.sql",), 5432)
    assert "pw" not in repr(reading)


@pytest.mark.parametrize(
    ("name", "environment", "login"),
    [
        ("kartoza/postgis:14", {}, ("docker", "docker", "gis", ())),
        ("kartoza/postgis:14", {"POSTGRES_PASS": "p", "POSTGRES_DBNAME": "a, b,c"}, ("docker", "p", "a", ("b", "c"))),
        ("kartoza/postgis:14", {"POSTGRES_PASS": "p", "POSTGRES_PASSWORD": "q"}, ("docker", "q", "gis", ())),
        ("cimg/postgres:14.0", {"POSTGRES_USER": "u"}, ("u", "postgres", "u", ())),
        ("sameersbn/postgresql:12", {"DB_USER": "u", "DB_PASS": "p", "DB_NAME": "d"}, ("u", "p", "d", ())),
        ("crunchydata/crunchy-postgres", {"PG_USER": "u", "PG_PASSWORD": "p"}, ("u", "p", "u", ())),
        ("quay.io/sclorg/postgresql-15-c9s", {"POSTGRESQL_ADMIN_PASSWORD": "p"}, ("postgres", "p", "postgres", ())),
        (
            "registry.redhat.io/rhel9/postgresql-15",
            {"POSTGRESQL_USER": "u", "POSTGRESQL_PASSWORD": "p", "POSTGRESQL_DATABASE": "d"},
            ("u", "p", "d", ()),
        ),
    ],
)
def test_other_families_of_images_have_variables_of_their_own(
    name: str, environment: dict[str, str], login: tuple[str, str, str, tuple[str, ...]]
) -> None:
    """None of them is refused for the official image's variables."""
    config = image.config_of(ComposeService(key="db", image=name, environment=environment))

    assert (config.user, config.password, config.db, config.further) == login


@pytest.mark.parametrize("user", [{}, {"POSTGRESQL_USER": "u"}])
def test_red_hats_image_refuses_a_missing_password(user: dict[str, str]) -> None:
    """It wants a user with a password, or the administrator's."""
    with pytest.raises(ManifestError, match="does not start without POSTGRESQL_PASSWORD"):
        image.config_of(ComposeService(key="db", image="centos/postgresql-12-centos7", environment=user))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("postgres:15", "/var/lib/postgresql/data/postgresql.conf"),
        ("bitnami/postgresql", "/bitnami/postgresql/conf/postgresql.conf"),
    ],
)
def test_a_postgresql_conf_over_the_images_own_counts(tmp_path: Path, name: str, place: str) -> None:
    """A developer's own data folder is not looked into for one."""
    (tmp_path / "postgresql.conf").write_text("max_connections = 7")
    asked = service(name, environment={"POSTGRESQL_PASSWORD": "p"})
    over = replace(asked, volumes=(mounted(tmp_path / "postgresql.conf", place),))
    data = replace(asked, volumes=(mounted(tmp_path, place.rpartition("/")[0]),))

    assert (image.config_of(over).carried, image.config_of(data).carried) == ([("max_connections", "7")], [])


@pytest.mark.parametrize(
    ("entrypoint", "command"),
    [
        (("/own/entrypoint.sh",), ("-N", "9")),
        (("/own/prepare.sh",), ("postgres", "-N", "9")),
        (("bash", "/own/prepare.sh"), ("postgres", "-c", "max_connections=9")),
    ],
)
def test_a_script_that_starts_the_server_is_said(
    tmp_path: Path, entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """It may do anything before: the flags behind it are all that can be read."""
    (tmp_path / "entrypoint.sh").touch()
    asked = service(entrypoint=entrypoint, command=command, volumes=(mounted(tmp_path, "/own"),))

    assert image.config_of(asked).notes == (
        f"service 'db': testbay does not read {' '.join(entrypoint)}, which starts its server",
    )
    assert image.config_of(asked).carried == [("max_connections", "9")]
