from dataclasses import replace
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.harness.dependencies.dragonfly import image
from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Server
from testbay.manifest.compose.reading import Built, ComposeService, Volume

CONF = """\
# ours
port 6390
requirepass "p w"
maxmemory 100mb
user app on >x ~* +@all
loadmodule /opt/x.so
rename-command CONFIG ""
"""


def service(*command: str, name: str = "redis:7", **environment: str) -> ComposeService:
    return ComposeService(key="cache", image=name, environment=environment, command=command)


def test_a_mounted_redis_conf_counts(tmp_path: Path) -> None:
    """Its password and port too; what is the container's is left out by name."""
    (tmp_path / "redis.conf").write_text(CONF)
    volumes = (Volume(type="bind", source=str(tmp_path), target="/etc/redis"),)
    asked = service("redis-server", "/etc/redis/redis.conf", "--hz", "5")
    config = image.config_of(replace(asked, volumes=volumes))

    assert (config.password, config.port) == ("p w", 6390)
    assert config.carried == (
        ("maxmemory", ("100mb",)),
        ("user", ("app", "on", ">x", "~*", "+@all")),
        ("hz", ("5",)),
    )
    assert config.left_out == ("service 'cache': embedded leaves out loadmodule /opt/x.so, rename-command CONFIG",)


def test_the_users_of_a_mounted_file_count(tmp_path: Path) -> None:
    """The password is that of `default`; the others are there, too."""
    (tmp_path / "users.acl").write_text("user default on >pw ~* &* +@all\nuser ro on >ropw ~* +@read\n")
    mount = Volume(type="bind", source=str(tmp_path / "users.acl"), target="/etc/users.acl")
    config = image.config_of(replace(service("redis-server", "--aclfile", "/etc/users.acl"), volumes=(mount,)))

    assert (config.user, config.password, config.left_out) == ("", "pw", ())
    assert [values[0] for name, values in config.carried if name == "user"] == ["default", "ro"]


@pytest.mark.parametrize("last", ["user admin on >all ~* &* +@all", "user admin on >all allkeys allcommands"])
def test_where_the_default_user_is_off_the_widest_one_counts(tmp_path: Path, last: str) -> None:
    """Testbay empties the server with it; the program's own may have a few keys."""
    (tmp_path / "users.acl").write_text(f"user default off\nuser app on >pw ~app:* +@all -@dangerous\n{last}\n")
    mount = Volume(type="bind", source=str(tmp_path / "users.acl"), target="/etc/users.acl")
    config = image.config_of(replace(service("redis-server", "--aclfile", "/etc/users.acl"), volumes=(mount,)))

    assert (config.user, config.password) == ("admin", "all")


def test_a_named_user_without_a_password_is_taken_with_any(tmp_path: Path) -> None:
    """Its name must be sent, and a login has a password; the server takes each."""
    (tmp_path / "users.acl").write_text("user default off\nuser app on nopass ~* +@all\n")
    mount = Volume(type="bind", source=str(tmp_path / "users.acl"), target="/etc/users.acl")
    config = image.config_of(replace(service("--aclfile", "/etc/users.acl"), volumes=(mount,)))

    assert (config.user, bool(config.password)) == ("app", True)


@pytest.mark.parametrize(
    "users", ["user default off\nuser app on #5e88 ~* +@all\n", "user default on #5e88 ~* +@all\n"]
)
def test_users_with_hashes_alone_are_refused(tmp_path: Path, users: str) -> None:
    """Testbay says so before the start; the server would only refuse the login."""
    (tmp_path / "users.acl").write_text(users)
    mount = Volume(type="bind", source=str(tmp_path / "users.acl"), target="/etc/users.acl")

    with pytest.raises(ManifestError, match="service 'cache': its users have no password in plain text"):
        image.config_of(replace(service("--aclfile", "/etc/users.acl"), volumes=(mount,)))


@pytest.mark.parametrize(
    ("written", "password"),
    [
        (r'"a\x20b\"c\n\q"', 'a b"c\nq'),
        (r'"\xc3\xa9\ü"', "éü"),
        (r"'a\x20b\'c'", r"a\x20b'c"),
        (r"pa\ss#1", r"pa\ss#1"),
        (r"""a"b c"'d e'f""", "ab cd ef"),
    ],
)
def test_words_of_a_redis_conf_are_quoted_as_redis_does(tmp_path: Path, written: str, password: str) -> None:
    """A backslash counts between double quotes alone: https://redis.io/docs/latest/operate/oss_and_stack/management/config."""
    (tmp_path / "redis.conf").write_text(f"requirepass {written}\n")
    mount = Volume(type="bind", source=str(tmp_path), target="/c")

    assert image.config_of(replace(service("redis-server", "/c/redis.conf"), volumes=(mount,))).password == password


@pytest.mark.parametrize("flag", ["--tls-port 6379", "--unixsocket /run/redis.sock"])
def test_other_ways_to_the_server_are_left_out_by_name(flag: str) -> None:
    """A program that uses TLS or the socket would not reach the embedded server."""
    found = image.config_of(service("redis-server", *flag.split())).left_out

    assert found == (f"service 'cache': embedded leaves out {flag.removeprefix('--')}",)


@pytest.mark.parametrize(
    ("asked", "login"),
    [
        (service("sh", "-c", 'redis-server --requirepass "$PW"', PW="a#b"), ("", "a#b", 6379)),
        (service("sh", "-euc", "/usr/local/bin/docker-entrypoint.sh --requirepass $PW", PW="e"), ("", "e", 6379)),
        (service(name="bitnami/redis:7", REDIS_PASSWORD="b", REDIS_PORT_NUMBER="6400"), ("", "b", 6400)),
        (service(name="bitnami/valkey:8", VALKEY_PASSWORD="b", VALKEY_PORT_NUMBER="6400"), ("", "b", 6400)),
        (service(REDIS_PASSWORD="the official image knows no such variable"), ("", "", 6379)),
        (service(name="redis/redis-stack", REDIS_ARGS="--requirepass c"), ("", "c", 6379)),
        (service(name="redis:8", REDIS_ARGS="--requirepass c", REDIS_EXTRA_FLAGS="--port 1"), ("", "c", 6379)),
        (service(name="redis:7-alpine", REDIS_ARGS="--requirepass c"), ("", "", 6379)),
        (service(name="bitnami/redis:7.2", REDIS_ARGS="--port 1", REDIS_EXTRA_FLAGS="--port 7"), ("", "", 7)),
        (service(name="docker.dragonflydb.io/dragonflydb/dragonfly", REDIS_ARGS="--port 1"), ("", "", 6379)),
        (service(name="valkey/valkey:8", VALKEY_EXTRA_FLAGS="--port 7", REDIS_ARGS="--port 1"), ("", "", 7)),
        (service(name="sameersbn/redis:4", REDIS_PASSWORD="s"), ("", "s", 6379)),
        (service("--user", "default", "off", "--user", "app", "on", ">d", "~*", "+@all"), ("app", "d", 6379)),
        (service("--port", "7000"), ("", "", 7000)),
        (service("--port 7000"), ("", "", 7000)),
        (service(name="docker.dragonflydb.io/dragonflydb/dragonfly", DFLY_port="7001"), ("", "", 7001)),
    ],
)
def test_login_and_port_are_those_of_the_image(asked: ComposeService, login: tuple[str, str, int]) -> None:
    """Of the command, a shell's too, and of the variables that the image knows."""
    config = image.config_of(asked)

    assert (config.user, config.password, config.port) == login


@pytest.mark.parametrize(
    ("script", "command", "password", "notes"),
    [
        ('exec redis-server --requirepass "$PW"', (), "s", ()),
        ('echo "requirepass $PW" > /r.conf\nexec "$@"', ("redis-server", "/r.conf"), "s", ()),
        ("exec redis-server\ncurl x", (), "", ("service 'cache': embedded does not run `curl x` of its command",)),
        (
            'curl x | sh\nexec "$@"',
            ("redis-server", "--requirepass", "t"),
            "t",
            ("service 'cache': testbay does not read /own/start.sh, which starts its server",),
        ),
    ],
)
def test_a_simple_script_is_followed(
    tmp_path: Path, script: str, command: tuple[str, ...], password: str, notes: tuple[str, ...]
) -> None:
    """An entrypoint of the project's own, mounted or copied by its Dockerfile; of another one the command alone."""
    (tmp_path / "start.sh").write_text(f"#!/bin/sh\nset -e\n{script}\n", encoding="utf-8")
    own = Volume(type="bind", source=str(tmp_path), target="/own")
    asked = replace(service(*command, PW="s"), entrypoint=("/own/start.sh",), volumes=(own,))

    config = image.config_of(asked)
    assert (config.password, config.notes) == (password, notes)


def test_a_script_on_the_path_is_followed(tmp_path: Path) -> None:
    """Also one that lies over the image's own entrypoint."""
    (tmp_path / "x").write_text('#!/bin/sh\nexec redis-server --requirepass p "$@"\n', encoding="utf-8")
    copied = Volume(type="bind", source=str(tmp_path / "x"), target="/usr/local/bin/docker-entrypoint.sh")
    built = replace(service("--hz", "5"), entrypoint=("docker-entrypoint.sh",), built=Built(copied=(copied,)))

    assert (image.config_of(built).password, image.config_of(built).carried) == ("p", (("hz", ("5",)),))


def test_a_variable_that_the_image_does_not_read_is_said() -> None:
    """The file looks as if the server had a password, which it has not."""
    notes = image.config_of(service(name="redis:7", REDIS_ARGS="--requirepass c")).notes

    assert notes == ("service 'cache': its image redis:7 does not read REDIS_ARGS",)


@pytest.mark.parametrize(
    ("asked", "program", "notes"),
    [
        (
            service("--hz", "5"),
            "dragonfly",
            ("service 'cache': the stand-in dragonfly has no such settings: hz",),
        ),
        (
            service(name="redis/redis-stack-server:7"),
            "redis-server",
            ("service 'cache': redis has none of the modules of redis/redis-stack-server:7",),
        ),
        (service("--hz", "5"), "valkey-server", ()),
        (
            service("--server-threads", "4", "--hz", "5", name="eqalpha/keydb"),
            "valkey-server",
            ("service 'cache': the stand-in valkey has no such settings: server-threads",),
        ),
    ],
)
def test_what_this_machines_server_leaves_out_is_said(
    asked: ComposeService, program: str, notes: tuple[str, ...]
) -> None:
    """Before the start, by name."""
    assert dragonfly.notes(asked, Server(program=Path("/x") / program, version="7.2", source="system")) == notes


@pytest.mark.parametrize(("size", "line"), [("2GB", 'maxmemory "2GB"\n'), ("2GiB", "")])
def test_a_stand_in_gets_what_redis_has_too(size: str, line: str) -> None:
    """The number of databases, for which Dragonfly has its own name, and the memory, in a unit of Redis."""
    asked = service("--dbnum=256", f"--maxmemory={size}", "--proactor_threads", "2", name="dragonflydb/dragonfly")
    plan = dragonfly.plan(asked, Server(program=Path("/x/valkey-server"), version="9", source="wheel"), Path("/home"))

    assert plan["files"] == {"redis.conf": f'databases "256"\n{line}'}


@pytest.mark.parametrize(
    ("name", "place", "command", "password"),
    [
        ("eqalpha/keydb", "/etc/keydb/keydb.conf", (), "p w"),
        ("eqalpha/keydb", "/etc/keydb/keydb.conf", ("keydb-server", "--hz", "5"), ""),
        ("redis/redis-stack-server", "/redis-stack.conf", (), "p w"),
        ("bitnami/redis", "/opt/bitnami/redis/mounted-etc/redis.conf", (), "p w"),
        ("bitnami/valkey", "/opt/bitnami/valkey/mounted-etc/overrides.conf", ("/run.sh", "--hz", "5"), "p w"),
    ],
)
def test_a_file_mounted_over_the_images_own_counts(
    tmp_path: Path, name: str, place: str, command: tuple[str, ...], password: str
) -> None:
    """A command of the compose file stands in the place of the image's, which names the file."""
    (tmp_path / "given.conf").write_text(CONF)
    volumes = (Volume(type="bind", source=str(tmp_path / "given.conf"), target=place),)
    asked = replace(service(*command, name=name, ALLOW_EMPTY_PASSWORD="yes"), volumes=volumes)

    assert image.config_of(asked).password == password


def test_the_quotes_of_an_endless_line_are_not_read(tmp_path: Path) -> None:
    """A stranger's file would be read for minutes."""
    (tmp_path / "redis.conf").write_text("requirepass '" + "a" * 900_000 + "\nport 6390\n")
    volumes = (Volume(type="bind", source=str(tmp_path), target="/c"),)

    assert image.config_of(replace(service("redis-server", "/c/redis.conf"), volumes=volumes)).port == 6390


def test_a_redis_conf_that_the_command_writes_counts() -> None:
    """Without it embedded would ask for no password, and Docker's server refuse testbay."""
    line = 'echo "requirepass \'$WORD\'" > "/etc/redis.conf"\nexec redis-server "/etc/redis.conf"\n'
    config = image.config_of(service("sh", "-euc", line, WORD="p w"))

    assert (config.password, config.notes) == ("p w", ())


WRITES = """cat > /users.acl << EOF
user default off
user app on >${WORD} ~* +@all
EOF
{
  echo "maxmemory 1mb"
  echo "aclfile /users.acl"
} > /r.conf
echo 'hz 5' >> /r.conf
exec redis-server /r.conf
"""


def test_a_configuration_of_several_lines_counts() -> None:
    """As scripts write them: a text up to a word, lines of `echo`, lines at the end of a file."""
    config = image.config_of(service("sh", "-c", WRITES, WORD="w"))

    assert (config.user, config.password, config.notes) == ("app", "w", ())
    assert config.carried == (
        ("maxmemory", ("1mb",)),
        ("user", ("default", "off")),
        ("user", ("app", "on", ">w", "~*", "+@all")),
        ("hz", ("5",)),
    )


@pytest.mark.parametrize(
    ("name", "users", "password"),
    [
        ("redis:7", "user app on >x ~* +@all", ""),
        ("redis:7", "user default on >d ~* +@all", "d"),
        ("docker.dragonflydb.io/dragonflydb/dragonfly", "user app on >x ~* +@all", "p"),
    ],
)
def test_a_file_of_users_comes_before_requirepass(tmp_path: Path, name: str, users: str, password: str) -> None:
    """Redis lets in everyone as `default` if its file does not name it: the password that is given is ignored."""
    (tmp_path / "users.acl").write_text(f"{users}\n")
    mount = Volume(type="bind", source=str(tmp_path), target="/c")
    asked = replace(service("--requirepass", "p", "--aclfile", "/c/users.acl", name=name), volumes=(mount,))
    asked = replace(asked, stack_password="ours")

    assert (image.config_of(asked).user, image.config_of(asked).password) == ("", password)


def test_a_setting_in_one_word_is_read_as_redis_does() -> None:
    """Quotes of a shell may hold a flag together with its values."""
    asked = service("redis-server", "--user app on >w ~* +@all", "--user default off")

    assert (image.config_of(asked).user, image.config_of(asked).password) == ("app", "w")


@pytest.mark.parametrize(
    ("writing", "why"),
    [
        ("echo a >> /r.conf", "adds to /r.conf, which the image itself holds"),
        ("echo -e a > /r.conf", "holds '>'"),
        ("echo a > r.conf", "holds '>'"),
        ("echo a > /r.conf b", "holds '>'"),
        ("cat x > /r.conf", "holds '>'"),
        ("cat << EOF\na\nEOF\n", "holds '<'"),
        ("cat > /r.conf << EOF\na\\nb\nEOF\n", "holds '>'"),
    ],
)
def test_other_writing_is_not_followed(writing: str, why: str) -> None:
    """What a shell makes of it depends on the image, so the note says that testbay does not know."""
    config = image.config_of(service("sh", "-c", f"{writing}; redis-server /r.conf"))

    assert f"testbay cannot follow its command (its shell line {why})" in config.notes[0]
