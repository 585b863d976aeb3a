"""The Tab key: commands, and the names of this project, in the shells' own terms."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from tests.system.conftest import Bay

CHECKS = """
[[check]]
id = "health"
kind = "http"
phases = ["pre-merge"]
get = "/"
expect = ["status == 200"]
"""
HOSTILE = ("$(touch pwned)", "a b", "`id`", "'")
# bash's own machinery: the script that `--show-completion` prints, then the function as the Tab key calls it.
PRESS = """
eval "$(testbay --show-completion bash)"
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_testbay_completion testbay
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def project(bay: Bay) -> Bay:
    """With a check, two runs, and runs whose names are somebody else's commands."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8") + CHECKS, encoding="utf-8")
    bay.environ["PATH"] = f"{Path(sys.executable).parent}:{bay.environ['PATH']}"
    bay.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # the script is asked for by the shell's name
    for name in ("20260101-000000-shop-1", "20260102-000000-shop-2", *HOSTILE):
        folder = bay.project / ".testbay/runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
    return bay


def pressed(bay: Bay, *words: str) -> list[str]:
    """What bash offers where these words stand and Tab is pressed in the last one."""
    done = bay.type("bash -c " + shlex.quote(PRESS.format(words=" ".join(map(repr, ("testbay", *words))))))
    assert done.code == 0, done.out
    return done.lines


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(("re",), ["report"], id="commands"),
        pytest.param(("run", ""), ["shop"], id="services"),
        pytest.param(("explain", "NotR"), ["NotReadyError"], id="errors"),
        pytest.param(("up", "--engine", "e"), ["embedded"], id="engines"),
        pytest.param(("check", "shop", "--id", ""), ["health"], id="check-ids"),
        pytest.param(("check", "--phase", "pre-"), ["pre-merge", "pre-deploy"], id="phases"),
        pytest.param(("report", "2026"), ["20260102-000000-shop-2", "20260101-000000-shop-1"], id="runs"),
    ],
)
def test_bash_offers_names_of_this_project(project: Bay, words: tuple[str, ...], offered: list[str]) -> None:
    """Each where it is asked for; the newest run first."""
    assert pressed(project, *words) == offered


def test_a_hostile_name_is_not_offered(project: Bay) -> None:
    """A shell would split it or obey it."""
    offered = pressed(project, "report", "")

    assert offered == ["20260102-000000-shop-2", "20260101-000000-shop-1"]
    assert not list(project.project.rglob("pwned"))


def test_a_folder_without_a_project_offers_nothing(project: Bay, tmp_path: Path) -> None:
    """And says nothing: the line that is being typed would be garbled."""
    project.project = tmp_path / "empty"
    project.project.mkdir()

    assert pressed(project, "run", "") == [""]


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        pytest.param("zsh", {"_TESTBAY_COMPLETE": "complete_zsh"}, id="zsh"),
        pytest.param(
            "fish", {"_TESTBAY_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, id="fish"
        ),
    ],
)
def test_zsh_and_fish_ask_the_same(project: Bay, shell: str, asked: dict[str, str]) -> None:
    """Their scripts hand the line over in a variable; a shell that is installed finds its script well-formed."""
    script = project.type(f"testbay --show-completion {shell}")
    done = project.type("testbay", _TYPER_COMPLETE_ARGS="testbay run sh", **asked)

    assert (script.code, f"complete_{shell}" in script.out) == (0, True)
    assert "shop" in done.out
    if shutil.which(shell):
        (project.project / "script").write_text(script.out, encoding="utf-8")
        assert project.type(f"{shell} -n script").code == 0
