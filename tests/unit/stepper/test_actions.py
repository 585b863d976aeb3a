"""What stands in for actions does what a later step, or a person, can see of the real ones."""

from typing import Any

import pytest
from tests.stepper.actions import PUBLISHED
from tests.stepper.small import Play, job, uses


def test_a_checkout_has_as_much_history_as_asked_for(play: Play) -> None:
    """The commit's files; one commit deep, or all of it."""
    steps = "git rev-list --count HEAD; cat a.txt"
    shallow = uses("checkout", persist_credentials="false")
    deep = uses("checkout", persist_credentials="false", fetch_depth="0")
    grant = "permissions: {contents: read}"
    inner = [f"{{{grant}, steps: [{use}, {{run: {steps}}}]}}" for use in (shallow, deep)]
    jobs = f"jobs:\n  a: {inner[0]}\n  b: {inner[1]}"

    assert [run.said for run in play(jobs).jobs] == [["1", "in git"], ["2", "in git"]]


def test_a_checkout_needs_the_right_to_read(play: Play) -> None:
    """Without `contents: read` there is nothing to see."""
    assert play(job(uses("checkout", persist_credentials="false"))).results == {"a": "failure"}


MAKE = "{run: mkdir -p .x/y/.h && echo 1 > .x/y/a && echo 2 > .x/y/.h/b && echo 3 > .x/y/.c}"


@pytest.mark.parametrize(
    ("path", "hidden", "expected"),
    [
        pytest.param(".x/y/", "false", {"one": {"a": b"1\n"}}, id="hidden-ones-are-dropped"),
        pytest.param(".x/y/", "true", {"one": {"a": b"1\n", ".h/b": b"2\n", ".c": b"3\n"}}, id="unless-asked-for"),
        pytest.param(".x/", "false", {}, id="a-hidden-root-hides-all"),
        pytest.param(".x/y/a", "false", {"one": {"a": b"1\n"}}, id="one-file"),
    ],
)
def test_an_upload_leaves_hidden_files_out(play: Play, path: str, hidden: str, expected: dict[str, Any]) -> None:
    """A name with a leading dot hides itself and what is in it, silently."""
    run = play(job(MAKE, uses("upload-artifact", name="one", path=path, include_hidden_files=hidden)))

    assert (run.artifacts, run.results) == (expected, {"a": "success"})


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([uses("upload-artifact", name="a", path="none/", if_no_files_found="error")], id="nothing-there"),
        pytest.param([uses("upload-artifact", name="1/2", path=".x/y/a")], id="a-slash-in-its-name"),
        pytest.param([uses("upload-artifact", name="a", path=".x/y/a")] * 2, id="the-same-name-twice"),
        pytest.param(["{run: 'touch .x/y/a::b'}", uses("upload-artifact", name="a", path=".x/y/")], id="a-colon"),
    ],
)
def test_an_upload_that_github_refuses_fails(play: Play, steps: list[str]) -> None:
    """An empty folder where files are required, a name or a file's path that cannot be kept, a name used before."""
    assert play(job(MAKE, *steps)).results == {"a": "failure"}


def test_an_upload_may_replace_an_earlier_one(play: Play) -> None:
    """With `overwrite` the name of a job that runs again is no conflict."""
    second = uses("upload-artifact", name="a", path=".x/y/a", overwrite="true")
    run = play(job(MAKE, uses("upload-artifact", name="a", path=".x/y/"), "{run: echo 2 > .x/y/a}", second))

    assert (run.results, run.artifacts) == ({"a": "success"}, {"a": {"a": b"2\n"}})


def test_a_download_puts_each_artifact_into_a_folder(play: Play) -> None:
    """What fits the pattern comes back, in another job, under its artifact's name."""
    up = [uses("upload-artifact", name=name, path=".x/y/a") for name in ("s-1", "s-2", "t-1")]
    down = f"{uses('download-artifact', pattern='s-*', path='in')}, {{run: 'find in -type f | sort'}}"
    run = play(job(MAKE, *up) + f"  b:\n    needs: a\n    steps: [{down}]\n")

    assert run.jobs[1].said == ["in/s-1/a", "in/s-2/a"]


def test_a_download_by_name_needs_that_artifact(play: Play) -> None:
    """Its files come back where asked for; where there is none, the step fails."""
    down = [uses("download-artifact", name=name, path="in") for name in ("one", "two")]
    jobs = f"  b: {{needs: a, steps: [{down[0]}, {{run: 'find in -type f'}}]}}\n  c: {{needs: a, steps: [{down[1]}]}}\n"
    run = play(job(MAKE, uses("upload-artifact", name="one", path=".x/y/a")) + jobs)

    assert (run.jobs[1].said, run.results) == (["in/a"], {"a": "success", "b": "success", "c": "failure"})


@pytest.mark.parametrize(
    ("name", "grants", "published"),
    [
        pytest.param("github-pages", "{pages: write, id-token: write}", {"index.html": b"1\n"}, id="published"),
        pytest.param("github-pages", "{pages: write}", None, id="nobody-knows-who-it-is"),
        pytest.param("site", "{pages: write, id-token: write}", None, id="under-another-name"),
    ],
)
def test_a_page_is_published_from_its_artifact(play: Play, name: str, grants: str, published: object) -> None:
    """By a job with both rights, from the tar file that was kept under GitHub's name for it."""
    pack = "{run: echo 1 > index.html && tar --create --file=artifact.tar ./index.html}"
    jobs = job(pack, uses("upload-artifact", name=name, path="artifact.tar"))
    run = play(f"{jobs}  b: {{needs: a, permissions: {grants}, steps: [{uses('deploy-pages')}]}}\n")

    assert run.artifacts.get(PUBLISHED) == published
    assert run.results == {"a": "success", "b": "success" if published else "failure"}


def test_a_later_step_finds_python(play: Play) -> None:
    """setup-python puts a Python first on PATH."""
    run = play(job(uses("setup-python", python_version="3.11"), "{run: python -c 'print(6 * 7)'}"))

    assert run.jobs[0].said == ["42"]
