import os
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.compose import reader
from testbay.manifest.compose.finding import Files
from testbay.manifest.compose.reading import ComposeFile, ComposeService, Port

ROOT = Path(__file__).parents[3]
HERE = "127.0.0.1"


def load(folder: Path, text: str, **environ: str) -> tuple[ComposeService, ...]:
    (folder / "c.yml").write_text(text, encoding="utf-8")
    return reader.own_reading([folder / "c.yml"], environ).services


def one(folder: Path, body: str, **environ: str) -> ComposeService:
    return load(folder, "services:\n  db:\n    " + body.replace("\n", "\n    "), **environ)[0]


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(ManifestError) as refused:
        load(folder, text, **environ)
    return str(refused.value).replace(str(folder / "c.yml"), "FILE")


def test_our_own_list_of_dependencies_is_read() -> None:
    """The file both engines read gives the three services with their default ports."""
    compose = reader.own_reading([ROOT / "docker-compose.test.yml"], {"NATS_PORT": "4222"})

    assert [(s.key, s.repository, s.ports) for s in compose.services] == [
        ("postgres", "postgres", (Port(host=15433, container=5432, address=HERE),)),
        ("dragonfly", "dragonfly", (Port(host=16380, container=6379, address=HERE),)),
        ("nats", "nats", (Port(host=4222, container=4222, address=HERE),)),
    ]


def test_everything_we_need_of_a_service_is_read(tmp_path: Path) -> None:
    """Image, environment, command and ports, with variables filled in."""
    text = """
services:
  db:
    image: ${IMAGE:-postgres:18}
    environment: {USER: "$NAME", EMPTY: "", NUMBER: 1, ON: on, PASSED: null, COST: "5$$"}
    command: postgres -c "a=b c" -c x=${X-1}
    ports: ["127.0.0.1:${PORT:-15433}:5432"]
    healthcheck: {test: [CMD, "true"]}
"""
    (db,) = load(tmp_path, text, NAME="ann", PASSED="$5")

    assert (db.key, db.image, db.ports) == ("db", "postgres:18", (Port(host=15433, container=5432, address=HERE),))
    assert db.environment == {"USER": "ann", "EMPTY": "", "NUMBER": "1", "ON": "on", "PASSED": "$5", "COST": "5$"}
    assert db.command == ("postgres", "-c", "a=b c", "-c", "x=1")
    assert (db.origins["USER"], db.origins["PASSED"]) == ("environment, NAME from the shell", "the shell")


def test_lists_are_as_good_as_mappings(tmp_path: Path) -> None:
    """Compose allows both spellings of environment and command; a bare name passes the caller's value on."""
    made = one(tmp_path, "image: x\nenvironment: [A=1=2, B, C=, D]\ncommand: [run, '-x y', '5']", B="b")

    assert (made.environment, made.command) == ({"A": "1=2", "B": "b", "C": ""}, ("run", "-x y", "5"))


def test_a_service_that_is_built_is_read_as_such(tmp_path: Path) -> None:
    """It has no image until Compose has built it."""
    made = one(tmp_path, "build: .")

    assert (made.image, made.build) == ("", True)
    assert made.definition["build"] == {"context": str(tmp_path), "dockerfile": "Dockerfile"}


def test_merged_defaults_are_read(tmp_path: Path) -> None:
    """Anchors and merge keys are how people share settings between services."""
    text = "x-d: &d {image: a, command: [b]}\nservices:\n  one: {<<: *d}\n  two: {<<: *d, image: c}\n"

    assert [(s.key, s.image, s.command) for s in load(tmp_path, text)] == [("one", "a", ("b",)), ("two", "c", ("b",))]


@pytest.mark.parametrize(
    ("image", "repository", "tag"),
    [
        ("postgres", "postgres", ""),
        ("postgres:15", "postgres", "15"),
        ("docker.io/library/postgres:15-alpine", "postgres", "15-alpine"),
        ("registry:5000/pgvector/pgvector:pg16@sha256:abc", "pgvector", "pg16"),
        ("registry:5000/nats@sha256:abc", "nats", ""),
        ("", "", ""),
    ],
)
def test_an_image_has_a_repository_and_a_tag(image: str, repository: str, tag: str) -> None:
    """Whatever registry, path and digest surround them."""
    service = ComposeService(key="db", image=image)

    assert (service.repository, service.tag) == (repository, tag)


@pytest.mark.parametrize(
    ("entry", "port"),
    [
        ("5432", Port(host=0, container=5432)),
        ("15433:5432", Port(host=15433, container=5432)),
        ("22:22", Port(host=22, container=22)),
        ("'5432/tcp'", Port(host=0, container=5432)),
        ("'127.0.0.1:15433:5432/tcp'", Port(host=15433, container=5432, address=HERE)),
        ("'127.0.0.1::5432'", Port(host=0, container=5432, address=HERE)),
        ("'[::1]:15433:5432'", Port(host=15433, container=5432, address="::1")),
        ("'${BIND:-127.0.0.1}:${HOST:-15433}:${INNER:-5432}'", Port(host=15433, container=5432, address=HERE)),
        ("'9000-9005:9000'", Port(host=9000, container=9000)),
        ("{target: 5432, published: '${HOST:-15433}'}", Port(host=15433, container=5432)),
        ("{target: 5432}", Port(host=0, container=5432)),
    ],
)
def test_a_port_in_every_spelling(tmp_path: Path, entry: str, port: Port) -> None:
    """Short and long, with and without address, protocol, variables; of a range the first."""
    assert one(tmp_path, f"image: x\nports:\n  - {entry}").ports == (port,)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("x:y", "'x:y' is not a port"),
        ("'70000:5432'", "'70000:5432' is not a port"),
        ("'5432:0'", "'5432:0' is not a port"),
        ("'²:5432'", "'²:5432' is not a port"),
        ("''", "'' is not a port"),
        ("'1-2:3-5'", "'1-2:3-5': the two ranges are of different lengths"),
        ("{published: 5}", "'None' is not a container's port"),
    ],
)
def test_what_is_not_a_port_is_shown(tmp_path: Path, entry: str, said: str) -> None:
    """After its variables were filled in: the mistake is often in them."""
    assert refusal(tmp_path, f"services: {{db: {{ports: [{entry}]}}}}") == (
        f"FILE: services.db.ports: {said}\n  do:       fix the value"
    )


@pytest.mark.parametrize(
    ("service", "what"),
    [
        ("{build: ., depends_on: [db]}", "services.test depends on 'db', which does not exist"),
        ("{environment: {A: b}}", "services.test has neither an image nor a build"),
        ("{build: ., networks: [back]}", "services.test uses 'back', which networks does not define"),
    ],
)
def test_a_layer_that_stands_alone_names_the_file_below(tmp_path: Path, service: str, what: str) -> None:
    """docker-compose.test.yml beside docker-compose.yml is often made to lie over it."""
    (tmp_path / "compose.yml").write_text("services: {db: {image: postgres:15}}")
    layer = tmp_path / "docker-compose.test.yml"
    layer.write_text(f"services: {{test: {service}}}")

    with pytest.raises(ManifestError) as refused:
        reader.own_reading([layer], {})

    assert str(refused.value) == (
        f"{layer}: {what}\n"
        "  why:      testbay read docker-compose.test.yml alone; it looks like a layer over compose.yml\n"
        '  do:       name both in the manifest: compose = ["compose.yml", "docker-compose.test.yml"]'
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FILE: no services"),
        ("services: {}", "FILE: no services"),
        ("[1]", "FILE: not YAML that Compose reads"),
        ("services: [db]", "FILE: services is not a mapping"),
        ("services: {db: }", "FILE: services.db has no keys"),
        ("services: {db: {image: [a]}}", "FILE: services.db.image: a text is expected"),
        (
            "services: {db: {environment: {A: {B: 1}}}}",
            "FILE: services.db.environment: a value is not a text, a number, a boolean or nothing",
        ),
        ("services: {db: {environment: A}}", "FILE: services.db.environment: 'A' is not of the right kind"),
        ("services: {db: {ports: 5432}}", "FILE: services.db.ports: '5432' is not of the right kind"),
        ("services: {db: {command: {a: b}}}", "FILE: services.db.command: \"{'a': 'b'}\" is not of the right kind"),
        ("db: {image: postgres}", "FILE: db stands at the top of the file"),
        ("services: {db: {imge: x}}", "FILE: services.db: unknown key 'imge' (did you mean 'image'?)"),
        ("services: {db: {w: x}}", "FILE: services.db: unknown key 'w'"),
        (
            """services: {db: {image: x, command: "echo 'x"}}""",
            """services.db.command: "echo 'x" is not a command line""",
        ),
    ],
)
def test_a_wrong_shape_is_named(tmp_path: Path, text: str, said: str) -> None:
    """The key, and what belongs there."""
    assert refusal(tmp_path, text).partition("\n")[0] == said


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t", "\0"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """With the line; what a tag would construct is never constructed."""
    assert refusal(tmp_path, text).startswith("FILE: not YAML that Compose reads\n  why:      ")


def test_a_missing_file_says_what_it_is_for(tmp_path: Path) -> None:
    """And how to name another one."""
    with pytest.raises(ManifestError) as refused:
        reader.own_reading([tmp_path / "c.yml"], {})

    assert str(refused.value) == (
        f"{tmp_path / 'c.yml'} does not exist\n"
        "  why:      it is the list of dependencies, for both engines\n"
        '  do:       add it, or in the manifest name yours (compose = "docker-compose.yml") or no server (needs = [])'
    )


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """With the place of the byte."""
    (tmp_path / "c.yml").write_bytes("services: {é: {}}".encode("latin-1"))

    with pytest.raises(ManifestError, match=r"c\.yml: not YAML that Compose reads\n  why:      .*UTF-8"):
        reader.own_reading([tmp_path / "c.yml"], {})


@pytest.mark.parametrize("path", [Path("/"), Path("/dev/zero")])
def test_only_a_file_is_read(path: Path) -> None:
    """A folder is a slip like any other, and a device may have no end."""
    with pytest.raises(ManifestError) as refused:
        reader.own_reading([path], {})

    assert str(refused.value) == f"{path}: not a file\n  do:       name a file"


def test_a_file_of_gigabytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A compose file is a page of text."""
    with (tmp_path / "c.yml").open("wb") as file:
        file.truncate(1 << 32)

    with pytest.raises(ManifestError, match="larger than 1000000 bytes"):
        reader.own_reading([tmp_path / "c.yml"], {})


def bomb(reference: str) -> str:
    """A dozen lines whose last one stands for a trillion values."""
    lines = ["x0: &x0 {k: v}"]
    for level in range(1, 13):
        inner = ", ".join(reference.format(n=n, name=f"*x{level - 1}") for n in range(9))
        lines.append(f"x{level}: &x{level} {{{inner}}}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("place", ["image: *x12", "environment: *x12", "ports: [*x12]", "command: [*x12]"])
@pytest.mark.timeout(20)
def test_aliases_of_aliases_are_never_written_out(tmp_path: Path, place: str) -> None:
    """Their number is bounded before the memory is full."""
    text = bomb("k{n}: {name}") + f"services: {{db: {{{place}}}}}"

    assert len(refusal(tmp_path, text)) < 200


@pytest.mark.timeout(20)
def test_merges_of_merges_are_stopped(tmp_path: Path) -> None:
    """A merge copies, so this one must not run to its end."""
    lines = ["x0: &x0 {k: v}"]
    lines.extend(f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 9)}]}}" for level in range(1, 13))

    assert "aliases make more than 50000 entries" in refusal(tmp_path, "\n".join([*lines, "services: {db: *x12}"]))


@pytest.mark.timeout(20)
def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    """The parser's recursion is not ours to end in; libyaml's own would end the process."""
    assert refusal(tmp_path, "[" * 100_000) == "FILE: nested too deeply\n  do:       a compose file is a page of text"


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    """As Compose does."""
    assert "line 1: an anchor contains itself" in refusal(tmp_path, "services: {db: &db {image: x, x-self: *db}}")


def test_passwords_are_not_in_the_text_of_a_file() -> None:
    """A traceback that shows the file shows no environment."""
    service = ComposeService(key="db", image="x", environment={"PASSWORD": "hunter2"})

    assert "hunter2" not in repr(ComposeFile(path=Path("c.yml"), services=(service,)))


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """Its files are told apart like all others: a name on Linux is any bytes."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    files, others = Files(), Files()
    (folder / "c.yml").write_text("services: {}", encoding="utf-8")
    files.read(folder / "c.yml")
    others.read(tmp_path / "c.yml")

    assert files.digest(tmp_path) != others.digest(tmp_path)
    assert files.digest(folder)


def test_a_mount_has_one_slash_at_its_beginning_and_none_at_its_end(tmp_path: Path) -> None:
    """Newer Composes say it so of the target, older ones as it stands there."""
    (tmp_path / "compose.yml").write_text(
        "services: {db: {image: x, volumes: ['/a/:/a/b/', '/c/', 'vol://d']}}\nvolumes: {vol: }"
    )

    volumes = reader.own_reading([tmp_path / "compose.yml"], {}).services[0].volumes
    assert [(volume.source, volume.target) for volume in volumes] == [("/a", "/a/b"), ("", "/c"), ("vol", "/d")]
