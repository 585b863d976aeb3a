"""Variables in compose files: every form of interpolation, and the remedy where one has no value."""

import os
from pathlib import Path

import pytest

from testbay.manifest.compose import reader
from testbay.manifest.compose.interpolation import InvalidTemplateError, OversizedTextError, interpolate
from testbay.manifest.compose.reading import ComposeService


def load(folder: Path, text: str, **environ: str) -> tuple[ComposeService, ...]:
    (folder / "c.yml").write_text(text, encoding="utf-8")
    return reader.own_reading([folder / "c.yml"], environ).services


def nothing(name: str) -> None:
    return None


@pytest.mark.parametrize(
    ("body", "what", "why"),
    [
        ("image: x, ports: ['${A}:${B}', '${C:-1}:1']", ".ports: ':' is not a port", "A is not set, B is not set"),
        ("image: x, ports: ['${A}:${A}'], volumes: ['a:${B}']", ".ports: ':' is not a port", "A is not set"),
        ("image: '${A}'", " has neither an image nor a build", "A is not set"),
    ],
)
def test_what_unset_variables_break_names_them(tmp_path: Path, body: str, what: str, why: str) -> None:
    """The file is right; what is missing are the values, and only for a run that needs the service."""
    web, db = load(tmp_path, f"services: {{web: {{{body}}}, db: {{image: postgres}}}}")

    assert db.problem is None
    assert str(web.problem).removeprefix(f"{tmp_path / 'c.yml'}: ") == (
        f"services.web{what}\n  why:      {why}\n  do:       set the variable in the shell or in .env"
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
        ("${A:+${B}}", {"A": "1", "B": "2"}, "2"),
        ('${A:-{"x":1}}', {}, '{"x":1}'),
        ("${A}", {"A": "${B}", "B": "2"}, "${B}"),
        ("${A:-$$}", {}, "$"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, environ: dict[str, str], value: str) -> None:
    """Every form, nested too; what an environment variable holds is never looked into."""

    def lookup(name: str) -> str | None:
        return environ.get(name)

    assert interpolate(text, lookup) == value


@pytest.mark.parametrize("text", ["$", "$1", "a $ b", "$-"])
def test_a_dollar_that_begins_nothing_stays(text: str) -> None:
    """As Compose leaves it."""
    assert interpolate(text, nothing) == text


@pytest.mark.parametrize("bad", ["${", "${}", "${A", "${A b}", "${1}", "${A:-${B}", "${é}", "${A:-" * 90])
def test_a_broken_variable_is_known(bad: str) -> None:
    """A brace behind a dollar that begins no variable."""
    with pytest.raises(InvalidTemplateError):
        interpolate(f"x {bad}", nothing)


@pytest.mark.parametrize("end", ["", "}" * 20_000])
def test_nesting_has_an_end(end: str) -> None:
    """A hundred levels are more than anybody reads, and Compose itself waits half a minute for thousands."""
    assert interpolate("${A:-" * 100 + "x" + "}" * 100, nothing) == "x"
    with pytest.raises(OversizedTextError, match="nested more than 100 deep"):
        interpolate("${A:-" * 20_000 + end, nothing)


def test_a_variable_that_is_not_needed_stops_nothing(tmp_path: Path) -> None:
    """The service that demands it carries the refusal: name, file, line, and where Compose would look."""
    web, db = load(tmp_path, "services:\n  web: {image: 'web:${TAG:?see ${B:-README}}'}\n  db: {image: postgres}\n")

    assert db.problem is None
    assert str(web.problem) == (
        f"{tmp_path / 'c.yml'}:2: services.web.image needs the variable TAG\n"
        "  why:      see README\n"
        f"  do:       export TAG=…, or set it in {tmp_path / '.env'}: Compose looks there too"
    )


@pytest.mark.parametrize(
    ("template", "service", "remedy"),
    [
        (".env.example", "image: 'web:${TAG:?}'", "do:       export TAG=…, or cp .env.example .env, which sets it"),
        (".example.env", "image: '${TAG}'", "why:      TAG is not set; cp .example.env .env sets it"),
        ("example.env", "image: '${TAG}'", "why:      TAG is not set; cp example.env .env sets it"),
        (".db.env.sample", "image: web, env_file: .db.env", "do:       cp .db.env.sample .db.env beside it, or write"),
    ],
)
def test_a_committed_template_is_the_remedy(tmp_path: Path, template: str, service: str, remedy: str) -> None:
    """What is not committed has a template beside it; people copy it, and so says the advice."""
    (tmp_path / template).write_text("# the tag\nexport TAG=7\n")

    (web,) = load(tmp_path, f"services: {{web: {{{service}}}}}")

    assert remedy in str(web.problem)


@pytest.mark.parametrize(("template", "text"), [(".env", "TAGS=7\n"), (".env.example", "TAG=\nTAGS=7\n")])
def test_a_template_of_other_variables_is_no_remedy(tmp_path: Path, template: str, text: str) -> None:
    """Nor is one that was copied already, or that leaves the value to the reader."""
    (tmp_path / template).write_text(text)
    (tmp_path / ".env.example").touch()

    (web,) = load(tmp_path, "services: {web: {image: '${TAG}'}}")

    assert "cp " not in str(web.problem)


@pytest.mark.parametrize(("called", "folder"), [("", "."), ("/elsewhere", "."), (".", "."), ("..", "..")])
def test_pwd_is_where_compose_is_called(tmp_path: Path, called: str, folder: str) -> None:
    """In the project's folder or above it; from anywhere else, as if it were called in the folder."""
    (tmp_path / "compose.yml").write_text("services: {db: {image: x, environment: {AT: $PWD}}}")
    environ = {"PWD": called and os.path.normpath(tmp_path / called)}

    made = reader.read([tmp_path / "compose.yml"], environ)
    assert made.services[0].environment["AT"] == os.path.normpath(tmp_path / folder)


@pytest.mark.parametrize(("called", "named"), [("..", "{folder}/ci.env"), (".", "ci.env"), ("/elsewhere", "ci.env")])
def test_env_files_of_the_shell_begin_where_compose_is_called(tmp_path: Path, called: str, named: str) -> None:
    """Not beside the compose file, when that lies in a folder below."""
    (tmp_path / "compose.yml").write_text("services: {db: {image: x, environment: {A: $A}}}")
    (tmp_path / "ci.env").write_text("A=ci\n")
    environ = {"PWD": os.path.normpath(tmp_path / called), "COMPOSE_ENV_FILES": named.format(folder=tmp_path.name)}

    made = reader.read([tmp_path / "compose.yml"], environ)
    assert made.services[0].environment["A"] == "ci"
