from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.compose import reader
from testbay.manifest.compose.reading import ComposeFile
from testbay.manifest.compose.selection import Selection, found, select
from testbay.manifest.load import load_manifest
from testbay.manifest.project import compose_files

STACK = """
services:
  db: {image: postgres, depends_on: [certificates]}
  certificates: {image: certs}
  replica: {image: redis, command: redis-server --replicaof cache 6379}
  second: {image: redis, command: redis-server /etc/redis.conf, volumes: ["./second.conf:/etc/redis.conf"]}
  cache: {image: redis}
  exporter: {image: oliver006/redis_exporter}
  web: {build: ., depends_on: [db, mail], environment: {KEY: "${KEY:?a key}"}}
  mail: {image: mailpit}
  debug: {image: nats, profiles: [debug]}
  broken: {image: "x:${TAG:?a tag}"}
"""


def read(folder: Path, text: str = STACK, **environ: str) -> ComposeFile:
    (folder / "c.yml").write_text(text, encoding="utf-8")
    (folder / "second.conf").write_text("port 6379\nreplicaof cache 6379\n", encoding="utf-8")
    return reader.own_reading([folder / "c.yml"], environ)


def keys(selection: Selection) -> tuple[dict[str, str], list[str]]:
    servers = {name: service.key for name, service in selection.servers.items()}
    return servers, [service.key for service in selection.helpers]


def test_started_is_what_is_needed_and_what_that_depends_on(tmp_path: Path) -> None:
    """A replica is passed over; everything else is left out with its reason."""
    selection = select(read(tmp_path), ["postgres", "dragonfly"])

    assert keys(selection) == ({"postgres": "db", "dragonfly": "cache"}, ["certificates"])
    assert selection.left_out == (
        "replica (redis)",
        "second (redis)",
        "exporter (oliver006/redis_exporter)",
        "web (it would have to be built)",
        "mail (mailpit)",
        "debug (its profile debug is not active)",
        "broken (not needed)",
    )


def test_also_starts_more_and_what_that_depends_on(tmp_path: Path) -> None:
    """Also what has to be built, when it is asked for."""
    assert keys(select(read(tmp_path), [], also=["mail"])) == ({}, ["mail"])
    assert keys(select(read(tmp_path, KEY="k"), [], also=["web"])) == ({}, ["certificates", "db", "mail", "web"])


def test_what_a_file_has_is_found(tmp_path: Path) -> None:
    """An inactive profile aside."""
    assert found(read(tmp_path)) == ["postgres", "dragonfly"]
    assert found(read(tmp_path, COMPOSE_PROFILES="debug")) == ["postgres", "dragonfly", "nats"]


def test_servers_that_are_all_in_profiles_are_found(tmp_path: Path) -> None:
    """A file for tests may keep each of them behind `profiles: [test]`."""
    text = "services: {db: {image: postgres, profiles: [test]}, web: {image: nginx}}"

    assert found(read(tmp_path, text)) == ["postgres"]


def test_the_empty_profile_is_active_where_none_is_named(tmp_path: Path) -> None:
    """As in Compose: so a file chooses its own default among servers."""
    text = "services: {db: {image: postgres, profiles: ['', pg]}, cache: {image: redis}}"

    assert found(read(tmp_path, text)) == ["postgres", "dragonfly"]
    assert found(read(tmp_path, text, COMPOSE_PROFILES="mysql")) == ["dragonfly"]


def test_the_manifest_decides_which_service_it_is(tmp_path: Path) -> None:
    """An image of the team's own, one that is built, or one of several."""
    text = "services: {own: {build: .}, a: {image: redis}, b: {image: valkey/valkey}}"
    selection = select(read(tmp_path, text), ["postgres", "dragonfly"], named={"postgres": "own", "dragonfly": "b"})

    assert keys(selection) == ({"postgres": "own", "dragonfly": "b"}, [])


@pytest.mark.parametrize(
    ("needs", "named", "also", "said"),
    [
        (["nats"], {"nats": "cach"}, [], "[services] nats = 'cach': FILE has no such service (did you mean 'cache'?)"),
        (
            ["postgres"],
            {"postgres": "cache"},
            [],
            "[services] postgres = 'cache': its image redis is Redis (or Valkey, Dragonfly), not PostgreSQL",
        ),
        ([], {}, ["mial"], "also: FILE has no service 'mial' (did you mean 'mail'?)"),
        ([], {}, ["broken"], "FILE:12: services.broken.image needs the variable TAG"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, needs: list[str], named: dict[str, str], also: list[str], said: str
) -> None:
    """In one sentence, before anything starts."""
    reading = read(tmp_path)

    with pytest.raises(ManifestError) as refused:
        select(reading, needs, named=named, also=also)

    assert refused.value.what.replace(str(tmp_path / "c.yml"), "FILE") == said


@pytest.mark.parametrize("given", ['environment: {"A\\0": b}', 'environment: {A: "b\\0"}', 'command: ["x\\0"]'])
def test_what_no_program_can_be_given_is_refused(tmp_path: Path, given: str) -> None:
    """Docker refuses it too, later."""
    with pytest.raises(ManifestError, match=r"services\.db has a NUL character in its environment or command"):
        select(read(tmp_path, f"services: {{db: {{image: postgres, {given}}}}}"), [], also=["db"])


@pytest.mark.parametrize(
    ("image", "advice"), [("mysql:8", "add the service"), ("team/own:3", "say which service it is")]
)
def test_advice_for_a_missing_server_names_none_that_is_another(tmp_path: Path, image: str, advice: str) -> None:
    """A service `db` may be MySQL's, and is the likely one only where nothing is known of its image."""
    reading = read(tmp_path, f"services: {{db: {{image: '{image}'}}}}")
    with pytest.raises(ManifestError) as refused:
        select(reading, ["postgres"])

    assert refused.value.todo.startswith(advice)


@pytest.mark.parametrize(
    ("present", "taken"),
    [
        (["docker-compose.yml", "services/a/compose.yaml"], "services/a/compose.yaml"),
        (["docker-compose.yml", "services/b/compose.yaml"], "docker-compose.yml"),
        (["docker-compose.test.yml", "services/a/compose.yaml"], "docker-compose.test.yml"),
    ],
)
def test_a_service_has_servers_of_its_own(tmp_path: Path, present: list[str], taken: str) -> None:
    """In services/ beside others, unless the project has a file for its tests."""
    for name in (*present, "services/a/testbay.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('service = "a"\n' * name.endswith(".toml"))

    assert compose_files(load_manifest(tmp_path / "services/a"), tmp_path, {}) == [tmp_path / taken]
