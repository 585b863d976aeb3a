"""The project's own settings of coverage.py, completed for a run."""

import os
from pathlib import Path

import pytest
from coverage import Coverage
from coverage.results import display_covered, should_fail_under

from testbay.harness.plugin import coveragerc
from testbay.harness.plugin.coveragerc import Reporting
from testbay.harness.run.results import Results, coverage_line

TOML = """
[tool.coverage.run]
omit = ["*/made.py", "x,y.py"]
concurrency = ["thread", "greenlet"]
relative_files = true
[tool.coverage.report]
exclude_also = ["if DEBUG:", "raise NotImplementedError"]
fail_under = 90.5
"""
INI = "[coverage:run]\nomit = */made.py\n[coverage:report]\nfail_under = 90.5\n[metadata]\nname = x\n"
PLAIN = "[run]\nomit =\n    */made.py\n[report]\nfail_under = 90.5\n"


@pytest.mark.parametrize(
    ("name", "text"), [("pyproject.toml", TOML), ("setup.cfg", INI), ("tox.ini", INI), (".coveragerc", PLAIN)]
)
def test_settings_are_found_where_coverage_looks(tmp_path: Path, name: str, text: str) -> None:
    """As coverage.py itself reads them back from our file."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    rules = coveragerc.completed(coveragerc.read(".coveragerc", [tmp_path]), tmp_path / "run", "src", everything=False)
    coveragerc.write(rules, tmp_path / "made")

    read = Coverage(config_file=str(tmp_path / "made"))
    assert "*/made.py" in str(read.get_option("run:omit"))
    assert (read.get_option("report:fail_under"), read.get_option("run:source")) == (90.5, ["src"])
    assert coveragerc.reporting(tmp_path / "made") == Reporting(fail_under=90.5)


def test_the_file_of_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As coverage.py asks COVERAGE_RCFILE, unless `--cov-config` names another file."""
    monkeypatch.setenv("COVERAGE_RCFILE", "conf/mine")
    (tmp_path / "conf").mkdir()
    for name in ("conf/mine", ".coveragerc", "theirs"):
        (tmp_path / name).write_text(f"[run]\nomit = {name}\n", encoding="utf-8")

    assert coveragerc.read(".coveragerc", [tmp_path]) == {"run": {"omit": "conf/mine"}}
    assert coveragerc.read("theirs", [tmp_path]) == {"run": {"omit": "theirs"}}


def test_a_pipe_holds_no_settings(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / ".coveragerc")

    assert coveragerc.read(".coveragerc", [tmp_path]) == {}


def test_lists_of_toml_stay_lists(tmp_path: Path) -> None:
    """A comma in an entry of a list does not cut it, where coverage.py reads lines."""
    (tmp_path / "pyproject.toml").write_text(TOML, encoding="utf-8")
    coveragerc.write(coveragerc.read(".coveragerc", [tmp_path]), tmp_path / "made")

    read = Coverage(config_file=str(tmp_path / "made"))

    assert read.get_option("run:concurrency") == ["thread", "greenlet"]
    assert read.get_option("report:exclude_also") == ["if DEBUG:", "raise NotImplementedError"]


@pytest.mark.parametrize("key", ["source", "source_pkgs", "include"])
def test_project_says_what_is_measured(tmp_path: Path, key: str) -> None:
    """The manifest's source is for projects that do not."""
    rules = coveragerc.completed({"run": {key: "app"}}, tmp_path, "src", everything=False)

    assert {name: rules["run"].get(name) for name in ("source", key)} == {"source": None, key: "app"}


def test_every_process_is_measured_when_asked(tmp_path: Path) -> None:
    """Then alone is a child of the tests slowed."""
    one, all_ = (coveragerc.completed({}, tmp_path, "src", everything=asked) for asked in (False, True))

    assert ("patch" in one["run"], all_["run"]["patch"], all_["run"]["sigterm"]) == (False, "subprocess", "true")
    assert coveragerc.of_the_service(one, ["app"])["run"] == one["run"] | {"sigterm": "true", "source": "app"}


def test_settings_at_the_root_of_a_workspace_keep_their_paths(tmp_path: Path) -> None:
    """Paths there are relative to the root, and coverage.py runs in the package."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "a").mkdir()
    text = "[run]\nsource = lib, installed\nomit = lib/made.py, */x.py\n"
    (tmp_path / ".coveragerc").write_text(text, encoding="utf-8")

    rules = coveragerc.read(".coveragerc", [tmp_path / "a", tmp_path])

    assert rules == {"run": {"source": f"{tmp_path}/lib\ninstalled", "omit": f"{tmp_path}/lib/made.py\n*/x.py"}}


@pytest.mark.parametrize(
    ("run", "may"),
    [
        ({}, True),
        ({"branch": "false", "concurrency": "thread\nmultiprocessing"}, True),
        ({"branch": "True"}, False),
        ({"core": "ctrace"}, False),
        ({"plugins": "django_coverage_plugin"}, False),
        ({"dynamic_context": "test_function"}, False),
        ({"concurrency": "thread, gevent"}, False),
    ],
)
def test_monitoring_where_it_measures_all(run: dict[str, str], may: bool) -> None:  # noqa: FBT001 - a column of the table
    """Python 3.12 and 3.13 tell `sys.monitoring` no branches, and coverage.py gives it no contexts or plugins."""
    assert coveragerc.may_monitor({"run": run}) is may


@pytest.mark.parametrize("percent", [0.0, 0.2, 49.96, 84.5, 89.4, 89.6, 89.996, 99.6, 99.999, 100.0])
@pytest.mark.parametrize(("least", "precision"), [(0.0, 0), (90.0, 0), (90.0, 2), (89.5, 0), (100.0, 0)])
def test_percentage_is_shown_and_judged_as_coverage_does(percent: float, least: float, precision: int) -> None:
    """Rounded as its own reports are; 99.6 is shown as 99, and enough where 99.5 is wanted."""
    project = Reporting(fail_under=least, precision=precision)

    text, good = coverage_line(Results(coverage_percent=percent), project)

    assert text.split()[1] == f"{display_covered(percent, precision)}%"
    assert good is not should_fail_under(percent, least, precision)


def test_path_with_a_dollar_is_no_variable(tmp_path: Path) -> None:
    """coverage.py replaces `$A` in its settings: what a run adds to them is meant as it stands."""
    folder = tmp_path / "$A"
    rules = coveragerc.completed({}, folder, str(folder), everything=False)
    coveragerc.write(coveragerc.of_the_service(rules, [f"{folder}/app"]), tmp_path / "made")

    read = Coverage(config_file=str(tmp_path / "made"))

    assert read.get_option("run:data_file") == str(folder / "coverage.db")
    assert read.get_option("run:source") == [f"{folder}/app"]


def test_path_with_a_comma_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """coverage.py parts a list at commas and lines: such a path is named from the working folder."""
    folder = tmp_path / "a,b\nc"
    (folder / "app").mkdir(parents=True)
    monkeypatch.chdir(folder)
    rules = coveragerc.completed({}, folder, str(folder / "app"), everything=False)
    coveragerc.write(rules, tmp_path / "made")

    read = Coverage(config_file=str(tmp_path / "made"))

    assert (read.get_option("run:source"), read.get_option("run:data_file")) == (["app"], str(folder / "coverage.db"))
