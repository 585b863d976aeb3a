from dataclasses import replace
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.harness.dependencies.nats import image
from testbay.harness.dependencies.nats import server as nats
from testbay.harness.dependencies.nats.configuration import UnreadableError, entries
from testbay.manifest.compose.reading import ComposeService, Volume

PLAIN = """\
# ours
port: 4333
http_port: 8222
max_payload = 4MB, max_connections 100
jetstream {
  store_dir: "/data/js"   // the container's
  max_mem: 256MB
}
include ./more.conf
"""
SHARED_MEANS = "they see each other's subjects and streams"
MORE = "debug: true\ntls { cert_file: '/certs/x' }\n"


def service(tmp_path: Path, configuration: str, *command: str, **environment: str) -> ComposeService:
    (tmp_path / "nats.conf").write_text(configuration)
    (tmp_path / "more.conf").write_text(MORE)
    return ComposeService(
        key="bus",
        image="nats:2.12",
        environment=environment,
        command=command or ("--config", "/etc/nats/nats.conf"),
        volumes=(Volume(type="bind", source=str(tmp_path), target="/etc/nats"),),
    )


def test_a_configuration_without_users_is_carried_and_leases_keep_their_accounts(tmp_path: Path) -> None:
    """Its places are ours; what embedded has no counterpart for is named."""
    config = image.config_of(service(tmp_path, PLAIN))

    assert (config.port, config.own_access, config.login) == (4333, False, image.Login())
    assert config.text(embedded=True).splitlines() == [
        "max_payload = 4MB",
        "max_connections 100",
        "jetstream { max_mem: 256MB }",
        "debug: true",
    ]
    assert "http_port: 8222" in config.text(embedded=False)
    assert config.left_out == ("service 'bus': embedded leaves out http_port, tls of /etc/nats/nats.conf",)


CLUSTER = "cluster { name: C1, listen: 0.0.0.0:6222, routes = [ nats://n2:6222 ] }\n"


@pytest.mark.parametrize(("access", "accounts"), [("", True), ("authorization { user: a, password: b }\n", False)])
def test_a_node_of_a_cluster_runs_alone(tmp_path: Path, access: str, *, accounts: bool) -> None:
    """On both engines: JetStream waits for the other nodes, and nobody starts them."""
    node = service(tmp_path, CLUSTER + access)
    node = replace(node, command=(*node.command, "--cluster_name=C1", "--routes", "nats://n3:6222", "-DV"))

    made = nats.configured(node)

    assert made is not None
    assert made["command"] == ["-js", "-DV", "--config", "/testbay-nats.conf"]
    assert ("cluster" in made["content"], "accounts {" in made["content"]) == (False, accounts)
    assert access in made["content"]
    assert image.config_of(node).notes[-1] == "service 'bus' runs alone, without --cluster_name, --routes, cluster"


def test_an_include_may_stand_in_a_block_and_the_whole_may_be_json(tmp_path: Path) -> None:
    """As nats-server reads both."""
    (tmp_path / "users.conf").write_text("user: a\npassword: b # said")
    inside = image.config_of(service(tmp_path, "authorization { include './users.conf' }\nport: 4333\n"))
    json = image.config_of(service(tmp_path, '# c\n{"port": 4333, "authorization": {"user": "a", "password": "b"}}\n'))

    assert [(config.port, config.login) for config in (inside, json)] == [(4333, image.Login("a", "b"))] * 2
    assert inside.text(embedded=False).startswith("authorization { user: a\npassword: b # said\n }")


USERS = "authorization: { users = [ {user: a, password: \"$2a$11$x\"}, {user: b, password: 'p:w'} ] }"
ACCOUNTS = """
accounts {
  S: { users: [{user: s, password: s}] }
  A: { jetstream: enabled, users: [{user: u, password: p}] }
}
system_account: S
"""


LIMITED = """authorization {
  default_permissions = { publish = "SANDBOX.*" }
  users = [
    { user: "default", password: p }
    { user: "some", password: p, permissions: { publish: { allow: ["a.>"] } } }
    { user: "all", password: q, permissions: { publish: [">"], subscribe: ">" } }
  ]
}
"""


@pytest.mark.parametrize(
    ("configuration", "login"),
    [
        ("authorization { token: 't@k en' }", ("", "t@k en")),
        ("authorization { user: ann, password: $PW }", ("ann", "from-env")),
        ("authorization { token: 'a/b#c' }", ("", "a/b#c")),
        (USERS, ("b", "p:w")),
        (ACCOUNTS, ("u", "p")),
        ("accounts { A: { users: [{user: u, password: p}] } }\nno_auth_user: u", ("", "")),
        (LIMITED, ("all", "q")),
    ],
)
def test_a_login_of_its_own_is_used_and_shared(tmp_path: Path, configuration: str, login: tuple[str, str]) -> None:
    """The tests are told before they begin."""
    config = image.config_of(service(tmp_path, configuration, PW="from-env"))

    assert (config.login, config.own_access) == (login, True)
    hard = (
        "service 'bus': NATS_URL has a part of its login as %xx, which nats-py takes literally, so that it is refused: "
        "give it `user` and `password`, or `token`"
    )
    assert config.notes == (
        f"service 'bus' has a login of its own, so the tests share its one account: {SHARED_MEANS}",
        *([hard] if set(login[1]) & set(" /#") else []),
    )


@pytest.mark.parametrize(
    ("configuration", "what"),
    [
        ("operator: x.jwt", "its NATS configuration admits only signed credentials (operator mode)"),
        (
            "authorization { user: a, password: '$2a$11$x' }",
            "its NATS configuration has no user with a plain-text password",
        ),
        (
            "authorization { user: a, password: $NATS_PW }",
            "its NATS configuration names $NATS_PW, which has no value",
        ),
        ("jetstream {", "/etc/nats/nats.conf is not a NATS configuration: line 1: a key is expected"),
        (
            "include ../x.conf",
            "/etc/nats/nats.conf is not a NATS configuration: it includes ../x.conf, which is not mounted",
        ),
    ],
)  # fmt: skip
def test_what_lets_nobody_in_is_refused_before_the_start(tmp_path: Path, configuration: str, what: str) -> None:
    """In one sentence."""
    with pytest.raises(ManifestError) as refused:
        image.config_of(service(tmp_path, configuration))

    assert refused.value.what == f"service 'bus': {what}"


def test_entries_keep_their_text_and_their_value() -> None:
    """Blocks, lists, quotes, and values without."""
    found = entries("a: 1; b = [x, 'y z']\nc { d: \"e}\" }\nf (\n  raw {\n)\ng [ nats://u:p#w@n2:6222 ] # two\n")

    assert [(entry.key, entry.value) for entry in found] == [
        ("a", "1"),
        ("b", ["x", "y z"]),
        ("c", {"d": "e}"}),
        ("f", "  raw {"),
        ("g", ["nats://u:p#w@n2:6222"]),
    ]
    assert found[1].text == "b = [x, 'y z']"


@pytest.mark.parametrize("text", ["a { " * 50, "[", "a [", "a: 'b", "a {b"])
def test_what_does_not_follow_the_grammar_is_refused(text: str) -> None:
    """Never a hang or another error."""
    with pytest.raises(UnreadableError):
        entries(text)


def test_tls_flags_are_left_out_and_named() -> None:
    """The embedded engine listens on loopback alone, without certificates."""
    flags = ["--tls", "--tlscert=/certs/a.crt", "--tlskey", "/certs/a.key", "-DV"]
    config = image.config_of(ComposeService(key="bus", image="nats", command=tuple(flags)))

    assert (config.carried_flags, config.left_out) == (
        ["-DV"],
        ("service 'bus': embedded leaves out its TLS flags",),
    )


@pytest.mark.parametrize(
    ("environment", "login"),
    [
        ({"NATS_USERNAME": "n", "NATS_PASSWORD": "p"}, image.Login()),
        ({"NATS_ENABLE_AUTH": "yes", "NATS_USERNAME": "n", "NATS_PASSWORD": "p"}, image.Login("n", "p")),
        ({"NATS_ENABLE_AUTH": "yes", "NATS_TOKEN": "t"}, image.Login("", "t")),
    ],
)
def test_bitnami_asks_for_a_login_only_when_told(environment: dict[str, str], login: image.Login) -> None:
    """Its variables alone let everyone in."""
    asked = ComposeService(key="bus", image="bitnami/nats:2", environment=environment)

    assert image.config_of(asked).login == login


@pytest.mark.parametrize(
    ("name", "place", "read"),
    [
        ("nats:2.10-alpine", "/etc/nats/nats-server.conf", True),
        ("nats", "/nats-server.conf", True),
        ("nats", "/etc/nats/nats-server.conf", False),
    ],
)
def test_a_file_mounted_over_the_images_own_counts(tmp_path: Path, name: str, place: str, *, read: bool) -> None:
    """The image's command names it, another one for Alpine."""
    (tmp_path / "x.conf").write_text("port: 4333\nauthorization { token: t }")
    volumes = (Volume(type="bind", source=str(tmp_path / "x.conf"), target=place),)
    config = image.config_of(ComposeService(key="bus", image=name, volumes=volumes))

    assert (config.port, config.login.password) == ((4333, "t") if read else (4222, ""))


def test_a_configuration_that_includes_itself_is_refused(tmp_path: Path) -> None:
    """It would have no end."""
    with pytest.raises(ManifestError, match=r"it includes nats\.conf, more than 20 files deep"):
        image.config_of(service(tmp_path, "include nats.conf"))
