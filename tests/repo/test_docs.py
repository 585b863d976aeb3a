"""The docs name only what exists, and every error has its entry."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.repo.test_imports import LEVELS
from typer.testing import CliRunner

from testbay import errors, fixtures, pytest_plugin
from testbay.cli.app import app
from testbay.harness import dependencies, service
from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.faults import inject as faults
from testbay.harness.leases import lease
from testbay.harness.run import record
from testbay.harness.stack import stack
from testbay.manifest import checks, exchange, rollout, shapes, targets
from testbay.manifest import service as manifest
from testbay.production.checks import report as checks_report

# 0-5 are pytest's own; above 128 stand the signals, as in a shell.
EXIT_CODES = {
    "ManifestError": 10,
    "EngineUnavailableError": 11,
    "NotReadyError": 12,
    "MigrationError": 13,
    "SecretMissingError": 14,
    "TestsDidNotRunError": 15,
    "LeftBehindError": 16,
    "SecretLeakedError": 17,
    "IncidentsError": 24,
    "HistoryError": 25,
    "NotDeliveredError": 26,
    "FilesError": 27,
    "InterruptedRunError": 130,
}
# What `testbay run` tells its own pytest: nobody sets it by hand.
HANDED_DOWN = {"TESTBAY_COVERAGE", "TESTBAY_MARK", "TESTBAY_RUN_DIR", "TESTBAY_SECRETS", "TESTBAY_STACK"}


def error_classes() -> dict[str, int]:
    """Every error testbay raises on purpose, with its exit code; the base class is none."""
    return {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.BayError) and value is not errors.BayError
    }


def test_every_link_between_pages_works(root: Path, tracked: list[Path]) -> None:
    """A relative link in a page leads to a file that is there."""
    broken = [
        f"{page}: {target}"
        for page in tracked
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (root / page).read_text(encoding="utf-8"))
        if "://" not in target and not (root / page.parent / target).exists()
    ]

    assert not broken, "\n".join(broken)


def anchors(page: Path) -> set[str]:
    """What `#…` can lead to in a page: its headings, spelled as GitHub does."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_to_a_section_works(root: Path) -> None:
    """A link with `#` leads to a heading that is there."""
    broken = [
        f"{page.name}: {target}#{anchor}"
        for page in [root / "README.md", *root.glob("docs/**/*.md")]
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
        if anchor not in anchors(page.parent / target if target else page)
    ]

    assert broken == []


def test_each_cause_has_its_own_exit_code(root: Path) -> None:
    """The codes are those the design lists, one per cause, outside of pytest's: no error is of the base class."""
    code = "".join(file.read_text(encoding="utf-8") for file in (root / "src").rglob("*.py"))

    assert error_classes() == EXIT_CODES
    assert not re.search(r"(?<!class )\bBayError\(", code)


def test_every_error_has_an_entry_in_troubleshooting(root: Path) -> None:
    """docs/troubleshooting.md has a `###` section for each error class that names it and its exit code."""
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    sections = re.split(r"^### ", page, flags=re.MULTILINE)[1:]
    missing = [
        f"{name} (exit {code})"
        for name, code in error_classes().items()
        if not any(name in section and re.search(rf"\bexit (?:code )?{code}\b", section) for section in sections)
    ]

    assert missing == []


def scripts(root: Path) -> list[Path]:
    """The scripts, without the bytecode that a run of tier 2 leaves beside them."""
    return [file for file in (root / "scripts").rglob("*") if file.is_file() and file.suffix != ".pyc"]


def messages(root: Path) -> str:
    """Every string that the program or a script can say: its source, strings that were broken over lines joined."""
    sources = [*(root / "src").rglob("*.py"), *scripts(root), *root.glob("services/*/scripts/ci/*")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources if file.is_file())
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_troubleshooting_is_headed_by_real_messages(root: Path) -> None:
    """Who searches the page for the message on the screen finds it: headings are literal, `…` stands for the rest."""
    said = messages(root)
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^### `(.*)`$", page)
    unknown = [h for h in headings if not all(part in said for part in h.split("…") if part.strip(" :,"))]

    assert unknown == []
    assert len(headings) == len(set(headings)) == page.count("\n### ")


def test_every_troubleshooting_entry_has_three_parts(root: Path) -> None:
    """An entry tells symptom, cause and solution; what is no error tells what it means."""
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    sections = re.split(r"(?m)^##+ ", page)[1:]
    parts = ("**Symptom**: ", "**Cause**: ", "**Solution**: ")
    short = [s.splitlines()[0] for s in sections if s.startswith("`") and not all(part in s for part in parts)]

    assert [heading for heading in short if f"### {heading}" not in page.partition("## Not an error")[2]] == []


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The table below a heading of a page: the first cell's first code word, and the cells after it."""
    lines = re.split(rf"(?m)^##+ {re.escape(heading)}$", page)[1].partition("\n#")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    return {cells[0].split("`")[1]: [cell.strip() for cell in cells[1:]] for cells in rows}


@pytest.fixture(scope="module")
def reference(root: Path) -> str:
    """The pages of the reference, one after the other."""
    return "".join(page.read_text(encoding="utf-8") for page in sorted(root.glob("docs/reference/*.md")))


def help_of(*command: str) -> str:
    """What `testbay COMMAND --help` prints, asked in this process: a new one for each command takes half a minute."""
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="testbay", env={"COLUMNS": "80"})
    assert done.exit_code == 0, (command, done.output)
    return done.output


def options(text: str) -> dict[str, str]:
    """The long options of a help text, each with its default where the text names one."""
    entries = re.findall(r"(?m)^  (?:-\w, )?(--[a-z-]+)((?:.*\n)(?:    .*\n)*)", text.partition("Options:")[2])
    return {name: (re.findall(r"\[default: (.*)\]", rest) or [""])[0] for name, rest in entries}


def test_reference_lists_every_command_and_option(reference: str) -> None:
    """The tables are those of `testbay COMMAND --help`: no option is missing, none is invented."""
    commands_said = re.findall(r"(?m)^  ([\w-]+)  +\S", help_of().partition("Tests:")[2])
    headings = {line.split()[1]: line for line in re.findall(r"(?m)^### (testbay \w+.*)$", reference)}

    assert sorted(headings) == sorted(commands_said)
    for name, heading in headings.items():
        said = {option: default for option, default in options(help_of(name)).items() if option != "--help"}
        listed = table(reference, heading)
        assert list(listed) == list(said), name
        assert [o for o, default in said.items() if default and default not in listed[o][0]] == [], name


def test_help_speaks_of_things_and_not_of_types() -> None:
    """A newcomer reads SERVICE and FILE, no `<list[str]>`; what goes to another program is in the line of usage."""
    commands_said = re.findall(r"(?m)^  ([\w-]+)  +\S", help_of().partition("Tests:")[2])
    said = {name: help_of(name) for name in commands_said}

    assert [line for text in said.values() for line in re.findall(r".*<\w+.*", text)] == []
    around = {name: text.partition("[OPTIONS] ")[2].partition("\n")[0] for name, text in said.items() if " -- " in text}
    assert (around["run"], around["exec"]) == ("[SERVICE] [-- PYTEST_ARGUMENT...]", "[SERVICE] -- COMMAND...")


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Every key of a manifest with its default, as TOML writes it."""
    found: dict[str, str] = {}
    inner: dict[str, type[BaseModel]] = {"nats": manifest.NatsTable, "streams": manifest.Stream}
    inner |= {"replay": manifest.Replay, "aws": manifest.Aws}
    for name, field in model.model_fields.items():
        if name not in ("file", "root", "defaults", "target", "check"):  # these have tables of their own
            if name not in ("nats", "aws"):
                found[prefix + name] = "required" if field.is_required() else literal(field.get_default())
            found |= keys(inner[name], f"{prefix}{name}.") if name in inner else {}
    return found


def inner(name: str, model: type[BaseModel]) -> set[str]:
    """The keys of a table in a table."""
    return {f"{name}.{key}" for key in model.model_fields}


def test_reference_lists_every_key_of_a_check(reference: str) -> None:
    """A table for targets, for what all checks have, and for each kind."""
    common = set(checks.EnvCheck.model_fields) - {"source", "required", "forbid", "shape", "same_keys_as"}
    steps = {f"steps.{name}" for name in exchange.Message.model_fields}
    own = {kind: {*model.model_fields, *steps} - common for kind, model in checks.KINDS.items()}
    asked = {field.alias or name for name, field in exchange.Exchange.model_fields.items()}
    step = {f"step.{name}" for name in set(checks.Step.model_fields) - set(exchange.Exchange.model_fields)}
    expected = {
        "Targets": {
            *targets.Target.model_fields,
            *inner("live", targets.Live),
            *inner("deployment", rollout.Deployment),
            *inner("railway", rollout.Railway),
        },
        "Checks": common,
        "Defaults of checks": set(checks.Defaults.model_fields),
        "Checks: http": asked | {"each", "latency", *(f"latency.{name}" for name in checks.Latency.model_fields)},
        "Checks: websocket": own["websocket"],
        "Checks: env": own["env"] - steps,
        "Shapes": set(shapes.KNOWN),
        "Checks: container": own["container"] - steps,
        "Checks: journey": (own["journey"] - steps) | step,
    }

    assert {heading: set(table(reference, heading)) for heading in expected} == expected


def test_reference_lists_every_field_of_a_report_of_checks(reference: str) -> None:
    """The record that travels is what the page says, its results included."""
    when = "2026-11-21T15:00:00+00:00"
    result = checks_report.Result(check="a", kind="http", verdict="pass", said="")
    report = checks_report.Report(service="s", phase="scheduled", started=when, finished=when, results=(result,))
    written = json.loads(report.as_json())
    told = re.findall(r"`(\w+)` ?(?:\(|,|$)", reference.partition("Of a result: ")[2].partition("\n\n")[0])

    assert list(table(reference, "The report of checks")) == list(written)
    assert [name for name in written["results"][0] if name not in told] == []


def literal(value: Any) -> str:
    return "none" if value is None else f"`{json.dumps(int(value) if isinstance(value, float) else value)}`"


def test_reference_lists_every_key_of_a_manifest(reference: str) -> None:
    """Keys and defaults are those that the program checks."""
    assert {key: cells[0] for key, cells in table(reference, "Manifest").items()} == keys(manifest.Manifest)


def test_reference_lists_every_variable_that_is_read(root: Path, reference: str) -> None:
    """A variable that changes what happens is in the table, and the table has no other."""
    settings = (root / "src/testbay/settings.py").read_text(encoding="utf-8")
    places = [*(root / "src").rglob("*.py"), *scripts(root), root / ".ci/run"]
    everything = "\n".join(file.read_text(encoding="utf-8") for file in places if file.is_file())
    read = set(re.findall(r"\bTESTBAY_[A-Z_]+\b", everything))
    read |= set(re.findall(r"\benv(?:iron)?(?:\.get\(|\[)\"([A-Z_]+)\"(?!\] = )", everything))
    read -= {*HANDED_DOWN, "TESTBAY_RUNS"}  # which our action tells the steps behind it

    assert set(re.findall(r'"(TESTBAY_[A-Z_]+|CI)"', settings)) <= read
    assert set(table(reference, "Environment that is read")) == read


def test_reference_lists_every_variable_that_is_exported(reference: str) -> None:
    """What a service and its tests find in their environment, and what it looks like."""
    first = {"DISABLE_VAULT_AUTH", "TESTING"} | HANDED_DOWN
    any_one = Endpoint(name="", title="", host="", port=1, password="x")
    names = {name for room in ROOMS.values() for name in room.environment(any_one)}

    assert set(table(reference, "Environment that is exported")) == names | first


def test_reference_lists_every_image(reference: str) -> None:
    """By which images, on which ports a dependency is known."""
    rooms = {
        name: [", ".join(f"`{image}`" for image in room.IMAGES), str(room.CONTAINER_PORT), str(room.DEFAULT_PORT)]
        for name, room in ROOMS.items()
    }

    assert table(reference, "Compose file") == rooms


def test_reference_lists_every_field_of_a_record(reference: str) -> None:
    """run.json is what the page says it is, its dependencies included."""
    fields = [field.alias or name for name, field in record.Record.model_fields.items()]
    told = re.findall(r"`(\w+)`", reference.partition("Of a dependency: ")[2].partition("Passwords")[0])

    assert list(table(reference, "run.json")) == fields
    assert told == list(stack.public(Endpoint(name="", title="", host="", port=1)))


def test_reference_lists_every_exit_code(reference: str) -> None:
    """Code and class stand side by side."""
    section = reference.partition("## Exit codes")[2].partition("\n## ")[0]

    assert {name: int(code) for code, name in re.findall(r"(?m)^\| (\d+) \| `(\w+)`", section)} == EXIT_CODES


def public(kind: type) -> set[str]:
    """What a reader may use of an object: methods, properties, and what its __init__ puts there."""
    code = "" if (made := vars(kind).get("__init__")) is None else inspect.getsource(made)
    return {name for name in [*vars(kind), *re.findall(r"self\.(\w+) =", code)] if not name.startswith("_")}


def test_reference_names_every_type_for_annotations(reference: str) -> None:
    """One line to import them all, and no more than there are."""
    assert f"from testbay.fixtures import {', '.join(fixtures.__all__)}" in reference


def test_reference_lists_every_fixture(reference: str) -> None:
    """Names and scopes are the plugin's, and so are the members of what they give."""
    source = inspect.getsource(pytest_plugin)
    fixtures = re.findall(r'(?m)^@pytest\.fixture(?:\(scope="(\w+)"\))?\n(?:async )?def (\w+)', source)
    members = {name.partition("(")[0] for name in table(reference, "What bay has")}
    reach = {field.name for field in dataclasses.fields(lease.Reach)} | {"dsn"}

    assert {name: cells[0] for name, cells in table(reference, "Fixtures").items()} == {
        name: scope or "function" for scope, name in fixtures
    }
    assert members == public(lease.Lease)
    assert set(re.findall(r"`(\w+)`", table(reference, "What bay has")["postgres"][0])) == reach
    assert {name.partition("(")[0] for name in table(reference, "What service has")} == public(service.Service)
    assert {name.partition("(")[0] for name in table(reference, "What faults has")} == public(faults.Faults)


def test_every_fault_is_told(root: Path) -> None:
    """docs/faults.md has a row for each way to break something."""
    page = (root / "docs/faults.md").read_text(encoding="utf-8")
    told = {name.partition("(")[0] for name in table(page, "What can be broken")}

    assert told == public(faults.Link) - {"name", "port", "on", "heal"}


def test_reference_lists_every_option_of_the_plugin(root: Path, reference: str) -> None:
    """What pytest itself says it takes, in the same order."""
    said = subprocess.check_output([sys.executable, "-m", "pytest", "--help"], cwd=root, text=True)

    assert list(table(reference, "Options")) == re.findall(r"(?m)^  (--testbay-[a-z-]+)", said)


def test_how_it_works_names_every_module(root: Path) -> None:
    """The drawing of the levels has every module, each on a line with its like."""
    page = (root / "docs/how-it-works.md").read_text(encoding="utf-8")
    drawing = re.findall(r"(?ms)^## Levels$.*?^```\n(.*?)^```", page)[0].splitlines()
    lines = [re.split(r" {3,}", line)[0].split() for line in drawing]

    assert [[name for name in sorted(line, key=line.index) if name not in LEVELS] for line in lines] == [[]] * len(
        lines
    )
    assert sorted(name for line in lines for name in line) == sorted(LEVELS)
    assert [max(LEVELS[name] for name in line) for line in lines] == sorted(
        {max(LEVELS[name] for name in line) for line in lines}, reverse=True
    )


def test_protocol_is_explained_member_by_member(root: Path) -> None:
    """docs/add-a-dependency.md has a row for each member, in the Protocol's order."""
    page = (root / "docs/add-a-dependency.md").read_text(encoding="utf-8")
    source = inspect.getsource(dependencies)
    protocol = source.partition("class Dependency(Protocol):")[2].partition("\n_MEMBERS")[0]

    assert list(table(page, "The Protocol, member by member")) == re.findall(r"(?m)^    (?:def )?(\w+)[:(]", protocol)


def test_every_walk_leads_through_files_that_exist(root: Path) -> None:
    """At most ten steps, each with its file."""
    page = (root / "docs/how-it-works.md").read_text(encoding="utf-8")
    walks = page.partition("## Three walks")[2].partition("\n## ")[0].split("\n**")[1:]
    steps = [re.findall(r"(?m)^\d+\. `([\w/.]+)`", walk) for walk in walks]

    assert [0 < len(walk) <= 10 for walk in steps] == [True] * 3
    assert [
        name for name in re.findall(r"`([\w/]+\.py)`", "".join(walks)) if not (root / "src/testbay" / name).is_file()
    ] == []
