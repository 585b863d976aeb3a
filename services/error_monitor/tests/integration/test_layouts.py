"""Every layout of logs, read by the commands: imported, grouped, explained."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness.commands import Run, counted

if TYPE_CHECKING:
    import psycopg

FORMS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "unit/forms.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture
def files(tmp_path: Path) -> dict[Path, int]:
    """A file for each layout, and how many events it has."""
    (tmp_path / "forms").mkdir()
    made = {tmp_path / "forms" / f"{form['name']}.log": form for form in FORMS}
    for file, form in made.items():
        file.write_text(form["text"], encoding="utf-8", newline="")
    return {file: len(form["events"]) for file, form in made.items()}


def test_every_layout_is_counted(run: Run, files: dict[Path, int], postgres: "psycopg.Connection[Any]") -> None:
    """One import of many files; each event is one."""
    code, said = run("import", *map(str, files))

    assert (code, counted(postgres)) == (0, sum(files.values())), said


def test_group_and_explain_agree(run: Run, files: dict[Path, int]) -> None:
    """The pattern that `group` prints for a line is the one that `explain` gives reasons for; two are compared."""
    file = next(file for file in files if file.stem == "lambda-unhandled")
    code, said = run("group", "--jsonl", str(file))
    row = json.loads(said)
    place = f"{file}:{row['first_line']}"

    alone, same = run("explain", place), run("explain", place, f"{file}:{row['last_line']}")

    assert (code, alone[0], same[0]) == (0, 0, 0)
    assert row["fingerprint"] in alone[1]
    assert same[1].endswith("one pattern: every part that is hashed is the same")


def test_a_place_without_an_event_is_refused(run: Run, files: dict[Path, int]) -> None:
    """Exit code 2, with the reason."""
    file = next(iter(files))

    assert run("explain", f"{file}:9999") == (
        2,
        f"error-monitor explain: line 9999 of {file} belongs to no error event",
    )
