from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.composefile import ComposeFile, ComposeService, Port, interpolate, load_compose

ROOT = Path(__file__).parents[3]


def load(folder: Path, text: str, **environ: str) -> tuple[ComposeService, ...]:
    (folder / "c.yml").write_text(text, encoding="utf-8")
    return load_compose(folder / "c.yml", environ).services


def one(folder: Path, body: str, **environ: str) -> ComposeService:
    return load(folder, "services:\n  db:\n    " + body.replace("\n", "\n    "), **environ)[0]


def refusal(folder: Path, text: str, **environ: str) -> str:
    with pytest.raises(ManifestError) as refused:
        load(folder, text, **environ)
    return str(refused.value).replace(str(folder / "c.yml"), "FILE")


def test_our_own_list_of_dependencies_is_read() -> None:
    """The file both engines read gives the three services with their default ports."""
    compose = load_compose(ROOT / "docker-compose.test.yml", {"NATS_PORT": "4222"})

    assert [(s.key, s.repository, s.ports) for s in compose.services] == [
        ("postgres", "postgres", (Port(host=15433, container=5432),)),
        ("dragonfly", "dragonfly", (Port(host=16380, container=6379),)),
        ("nats", "nats", (Port(host=4222, container=4222),)),
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
    assert load(tmp_path, text, NAME="ann", PASSED="$5") == (
        ComposeService(
            key="db",
            image="postgres:18",
            environment={"USER": "ann", "EMPTY": "", "NUMBER": "1", "ON": "on", "PASSED": "$5", "COST": "5$"},
            command=("postgres", "-c", "a=b c", "-c", "x=1"),
            ports=(Port(host=15433, container=5432),),
        ),
    )


def test_lists_are_as_good_as_mappings(tmp_path: Path) -> None:
    """Compose allows both spellings of environment and command; a bare name passes the caller's value on."""
    body = "image: x\nenvironment: [A=1=2, B, C=]\ncommand: [run, '-x y', 5]"

    assert one(tmp_path, body, B="b") == ComposeService(
        key="db", image="x", environment={"A": "1=2", "B": "b", "C": ""}, command=("run", "-x y", "5")
    )


def test_a_service_without_anything_is_read_as_such(tmp_path: Path) -> None:
    """A `build:` without an image is Compose's business."""
    assert one(tmp_path, "build: .") == ComposeService(key="db", image="")


def test_merged_defaults_are_read(tmp_path: Path) -> None:
    """Anchors and merge keys are how people share settings between services."""
    text = "x-d: &d {image: a, command: [b]}\nservices:\n  one: {<<: *d}\n  two: {<<: *d, image: c}\n"

    assert load(tmp_path, text) == (
        ComposeService(key="one", image="a", command=("b",)),
        ComposeService(key="two", image="c", command=("b",)),
    )


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
        ("'127.0.0.1:15433:5432/tcp'", Port(host=15433, container=5432)),
        ("'127.0.0.1::5432'", Port(host=0, container=5432)),
        ("'[::1]:15433:5432'", Port(host=15433, container=5432)),
        ("'${BIND:-127.0.0.1}:${HOST:-15433}:${INNER:-5432}'", Port(host=15433, container=5432)),
        ("'9000-9005:9000-9005'", Port(host=9000, container=9000)),
        ("{target: 5432, published: '${HOST:-15433}'}", Port(host=15433, container=5432)),
        ("{target: 5432}", Port(host=0, container=5432)),
    ],
)
def test_a_port_in_every_spelling(tmp_path: Path, entry: str, port: Port) -> None:
    """Short and long, with and without address, protocol, variables; of a range the first."""
    assert one(tmp_path, f"image: x\nports:\n  - {entry}").ports == (port,)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("x:y", "x:y"),
        ("'70000:5432'", "70000:5432"),
        ("'5432:0'", "5432:0"),
        ("'²:5432'", "²:5432"),
        ("''", ":"),
        ("{published: 5}", "5:"),
    ],
)
def test_what_is_no_port_is_shown(tmp_path: Path, entry: str, shown: str) -> None:
    """After its variables were filled in: the mistake is often in them."""
    assert refusal(tmp_path, f"services: {{db: {{ports: [{entry}]}}}}") == (
        f"FILE: services.db.ports: '{shown}' is no port\n  do:       write \"15433:5432\""
    )


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("a$$b $A", {"A": "1"}, "a$b 1"),
        ("${A}$B.", {"A": "1"}, "1."),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A-d}", {"A": ""}, ""),
        ("${A-d}", {}, "d"),
        ("${A:+o}", {"A": "1"}, "o"),
        ("${A:+o}", {"A": ""}, ""),
        ("${A+o}", {"A": ""}, "o"),
        ("${A:?m}", {"A": "1"}, "1"),
        ("${A?m}", {"A": ""}, ""),
        ("${A:-${B}}", {"B": "2"}, "2"),
        ("${A:-${B:-${C:-3}}}!", {}, "3!"),
        ("${A:-http://${B-h}:1/}", {}, "http://h:1/"),
        ("${A:-${B:?m}}", {"A": "1"}, "1"),
        ("${A:+${B}}", {"A": "1", "B": "2"}, "2"),
        ('${A:-{"x":1}}', {}, '{"x":1}'),
        ("${A}", {"A": "${B}", "B": "2"}, "${B}"),
        ("${A:-$$}", {}, "$"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, environ: dict[str, str], value: str) -> None:
    """Every form, nested too; what an environment variable holds is never looked into."""
    assert interpolate(text, environ, "here") == value


@pytest.mark.parametrize("bad", ["$", "$1", "${", "${}", "${A", "${A b}", "${1}", "${A:-${B}", "${é}", "${A:-" * 5000])
def test_a_broken_variable_is_shown(bad: str) -> None:
    """With both ways out: a default, or a dollar that is one."""
    with pytest.raises(ManifestError) as refused:
        interpolate(f"x {bad}", {}, "here")

    assert str(refused.value) == (
        f"here: {('x ' + bad)[:200]!r} is no valid variable\n  do:       write ${{NAME:-default}}, or $$ for a dollar"
    )


def test_nesting_has_an_end() -> None:
    """Twenty levels are more than anybody reads."""
    with pytest.raises(ManifestError, match="is no valid variable"):
        interpolate("${A:-" * 21 + "}" * 21, {}, "here")


def test_a_required_variable_is_asked_for_by_name(tmp_path: Path) -> None:
    """With the file's own message for it."""
    assert refusal(tmp_path, "services: {db: {image: '${TAG:?see ${B:-README}}'}}") == (
        "FILE: services.db needs the variable TAG\n  why:      see README\n  do:       export TAG=…"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FILE: no services\n  do:       a compose file has a top-level key 'services:'"),
        ("[1]", "FILE: no services\n  do:       a compose file has a top-level key 'services:'"),
        ("services: [db]", "FILE: no services\n  do:       a compose file has a top-level key 'services:'"),
        ("services: {db: }", "FILE: services.db has no keys\n  do:       give it an image, indented below it"),
        (
            "services: {db: {image: [a]}}",
            "FILE: services.db.image: a single value is expected\n  do:       write one word, or quote it",
        ),
        (
            "services: {db: {environment: {A: {B: 1}}}}",
            "FILE: services.db.environment.A: a single value is expected\n  do:       write one word, or quote it",
        ),
        (
            "services: {db: {environment: A}}",
            (
                "FILE: services.db.environment: a list is expected\n"
                "  do:       begin each entry with a dash, on a line of its own"
            ),
        ),
        (
            "services: {db: {ports: 5432}}",
            (
                "FILE: services.db.ports: a list is expected\n"
                "  do:       begin each entry with a dash, on a line of its own"
            ),
        ),
        (
            "services: {db: {command: {a: b}}}",
            (
                "FILE: services.db.command: a list is expected\n"
                "  do:       begin each entry with a dash, on a line of its own"
            ),
        ),
        (
            """services: {db: {command: "echo 'x"}}""",
            (
                "FILE: services.db.command: No closing quotation\n"
                "  do:       close the quotation, or write it as a list of words"
            ),
        ),
    ],
)
def test_a_wrong_shape_is_named(tmp_path: Path, text: str, said: str) -> None:
    """The key, and what belongs there."""
    assert refusal(tmp_path, text) == said


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t", "a: !!python/object:os.system x", "a: !!timestamp x", "\0"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """Also tags that would construct something, and tags that do not fit their value."""
    assert refusal(tmp_path, text).startswith("FILE: not YAML\n  why:      ")


def test_a_missing_file_says_what_it_is_for(tmp_path: Path) -> None:
    """And how to name another one."""
    with pytest.raises(ManifestError) as refused:
        load_compose(tmp_path / "c.yml", {})

    assert str(refused.value) == (
        f"{tmp_path / 'c.yml'} does not exist\n"
        "  why:      it is the list of dependencies, for both engines\n"
        '  do:       add it, or name the one you have: compose = "docker-compose.yml" in the manifest'
    )


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """With the place of the byte."""
    (tmp_path / "c.yml").write_bytes("services: {é: {}}".encode("latin-1"))

    with pytest.raises(
        ManifestError, match=r"c\.yml: cannot be read\n  why:      'utf-8' codec can't decode byte 0xe9"
    ):
        load_compose(tmp_path / "c.yml", {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Compose = "." is a slip like any other."""
    with pytest.raises(ManifestError, match=r"cannot be read\n  why:      .*Is a directory"):
        load_compose(tmp_path, {})


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    """Nor is one of gigabytes."""
    with pytest.raises(ManifestError) as refused:
        load_compose(Path("/dev/zero"), {})

    assert str(refused.value) == ("/dev/zero: larger than 250000 bytes\n  do:       a compose file is a page of text")


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
    """Reading them is cheap; only printing them would fill the memory, and we do not."""
    text = bomb("k{n}: {name}") + f"services: {{db: {{{place}}}}}"

    assert len(refusal(tmp_path, text)) < 200


@pytest.mark.timeout(20)
def test_merges_of_merges_are_stopped(tmp_path: Path) -> None:
    """A merge copies, so this one must not run to its end."""
    lines = ["x0: &x0 {k: v}"]
    lines.extend(f"x{level}: &x{level} {{<<: [{', '.join([f'*x{level - 1}'] * 9)}]}}" for level in range(1, 13))

    assert refusal(tmp_path, "\n".join([*lines, "services: {db: *x12}"])) == (
        "FILE: not YAML\n  why:      merge keys make more than 10000 entries\n  do:       mend the line it names"
    )


@pytest.mark.timeout(20)
def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    """The parser's recursion is not ours to end in."""
    assert refusal(tmp_path, "[" * 500).startswith("FILE: not YAML")


def test_an_alias_of_itself_is_read_as_far_as_needed(tmp_path: Path) -> None:
    """A loop in keys that nobody asks for does not matter."""
    assert load(tmp_path, "services: {db: &db {image: x, x-self: *db}}") == (ComposeService(key="db", image="x"),)


def test_passwords_are_not_in_the_text_of_a_file() -> None:
    """A traceback that shows the file shows no environment."""
    service = ComposeService(key="db", image="x", environment={"PASSWORD": "hunter2"})

    assert "hunter2" not in repr(ComposeFile(path=Path("c.yml"), services=(service,)))
