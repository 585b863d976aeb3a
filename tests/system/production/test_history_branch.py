"""A history on a branch of a real repository."""

import base64
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from tests.served import Handler, serving
from tests.system.conftest import Done
from tests.system.production.test_history import CLEAN, NOW, call, entry, report

from testbay.errors import HistoryError
from testbay.production.history import branch as branches
from testbay.production.history import entries
from testbay.production.history.branch import Branch

NAME = "testbay-history"
TOKEN = "not-to-be-shown"


def git(folder: Path, *argv: str) -> str:
    who = ["-c", "user.name=me", "-c", "user.email=me@invalid"]
    done = subprocess.run(["git", "-C", folder, *who, *argv], env=CLEAN, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with some code on main."""
    bare, first = tmp_path / "origin.git", tmp_path / "first"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(tmp_path, "clone", "-q", str(bare), str(first))
    (first / "code.py").write_text("print()\n")
    for argv in (
        ["checkout", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-qm", "code"],
        ["push", "-q", "origin", "main"],
    ):
        git(first, *argv)
    return bare


def clone(origin: Path, name: str, *options: str) -> Path:
    folder = origin.parent / name
    git(origin.parent, "clone", "-q", *options, f"file://{origin}", str(folder))
    return folder


def branch(folder: Path, name: str = NAME, **environ: str) -> Branch:
    return Branch(name=name, folder=folder, environ={**CLEAN, **environ})


@pytest.mark.parametrize("options", [[], ["--depth=1"]], ids=["whole", "shallow"])
def test_a_branch_of_its_own(origin: Path, options: Sequence[str]) -> None:
    """It is made with the first run and has the history alone; the clone stays as it was, as deep as it was."""
    folder = clone(origin, "ours", *options)
    before = git(folder, "rev-parse", "HEAD", "--is-shallow-repository"), git(folder, "status", "--porcelain")
    for hours in (6, 0, 6):
        branch(folder).append(entry(hours), NOW)

    theirs = clone(origin, "theirs", *options)
    assert branch(theirs).read(NOW).entries == (entry(6), entry(0))
    counts = [git(where, "rev-list", "--count", name) for where, name in ((origin, NAME), (theirs, f"origin/{NAME}"))]
    assert counts == ["2", "1" if options else "2"]
    assert set(git(origin, "ls-tree", "--name-only", "testbay-history").split()) == set(
        entries.render([entry(6), entry(0)])
    )
    assert before == (git(folder, "rev-parse", "HEAD", "--is-shallow-repository"), git(folder, "status", "--porcelain"))
    assert git(folder, "branch", "--list") == "* main"


def test_a_clock_that_is_behind_takes_nothing_away(origin: Path) -> None:
    """What was recorded after that machine's now stays on the branch."""
    folder = clone(origin, "ours")
    branch(folder).append(entry(0), NOW)
    branch(folder).append(entry(24 * 60), NOW - timedelta(days=60))

    assert branch(folder).read(NOW).entries == (entry(24 * 60), entry(0))


def test_a_branch_that_is_not_there_is_an_empty_history(origin: Path) -> None:
    """Who asks for it makes nothing."""
    assert branch(clone(origin, "ours")).read(NOW) == entries.History()
    assert git(origin, "branch", "--list") == "* main"


def test_two_writers_at_once(origin: Path) -> None:
    """However they come between each other, also with the very first run: every run is there, in a straight line."""
    folders = [clone(origin, f"writer-{number}") for number in range(2)]

    def write(number: int) -> None:
        for turn in range(5):
            branch(folders[number]).append(entry(10 * turn + number), NOW)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(2)))

    expected = entries.merge(entry(10 * turn + number) for turn in range(5) for number in range(2))
    assert branch(clone(origin, "reader")).read(NOW).entries == expected
    assert git(origin, "rev-list", "--count", "testbay-history") == "10"
    assert git(origin, "rev-list", "--count", "--merges", "testbay-history") == "0"


@pytest.fixture
def racing(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Somebody else writes between our fetch and our push, as often as the list has entries (hours)."""
    left: list[int] = []
    rival = branch(clone(origin, "rival"))
    push = Branch._push

    def after_the_rival(self: Branch, commit: str) -> bool:
        if self.folder != rival.folder and left:
            rival.append(entry(left.pop()), NOW)
        return push(self, commit)

    monkeypatch.setattr(Branch, "_push", after_the_rival)
    yield left
    assert left == []


@pytest.mark.parametrize("hours", [[1], [1, 2, 3]])
def test_a_lost_race_is_run_again(origin: Path, racing: list[int], hours: list[int]) -> None:
    """On top of what the others wrote, whether they made the branch or only were faster."""
    racing += hours

    known = branch(clone(origin, "ours")).append(entry(0), NOW)

    assert known.entries == entries.merge([entry(0), *map(entry, hours)])
    assert git(origin, "rev-list", "--count", "testbay-history") == str(len(hours) + 1)


def test_a_race_that_is_always_lost_ends(origin: Path, racing: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, not a loop."""
    monkeypatch.setattr(branches, "_ATTEMPTS", 2)
    racing += [1, 2]

    with pytest.raises(HistoryError) as refused:
        branch(clone(origin, "ours")).append(entry(0), NOW)

    assert refused.value.what == "history: origin/testbay-history: other runs wrote first 2 times in a row"


def test_a_branch_with_code_is_left_alone(origin: Path) -> None:
    """A commit of ours would delete it."""
    before = git(origin, "rev-parse", "main")

    with pytest.raises(HistoryError) as refused:
        branch(clone(origin, "ours"), "main").append(entry(0), NOW)

    assert refused.value.what == "history: origin/main holds something else: code.py"
    assert git(origin, "rev-parse", "main") == before


def test_a_link_on_the_branch_is_not_followed(origin: Path) -> None:
    """Whoever can write to the branch reads no file of the machine that checks."""
    folder = clone(origin, "theirs")
    git(folder, "checkout", "-q", "--orphan", "testbay-history")
    git(folder, "rm", "-rfq", ".")
    (folder / f"{NOW:%Y-%m}.jsonl").symlink_to("/etc/passwd")
    for argv in (["add", "."], ["commit", "-qm", "link"], ["push", "-q", "origin", "testbay-history"]):
        git(folder, *argv)

    with pytest.raises(HistoryError, match=r"holds something else: \d{4}-\d\d\.jsonl"):
        branch(clone(origin, "ours")).read(NOW)


def fake_git(folder: Path, script: str) -> Branch:
    """A branch for which git is this shell script."""
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return branch(folder, PATH=f"{program.parent}:{CLEAN['PATH']}")


def test_each_git_says_in_its_own_words_that_a_race_was_lost(origin: Path, tmp_path: Path) -> None:
    """The push is then made again, on what came between."""
    lost = tmp_path / "lost"
    here = clone(origin, "here")
    refusing = f"""case " $* " in *" push "*) [ -e {lost} ] || {{
        touch {lost}; echo "! [remote rejected] x -> y (incorrect old value provided)" >&2; exit 1; }} ;; esac
        PATH={CLEAN["PATH"]} exec git "$@" """
    found = fake_git(here, refusing)
    found.append(entry(1), NOW)

    assert lost.exists()
    assert len(branch(clone(origin, "there")).read(NOW).entries) == 1


def test_what_git_says_is_shown_without_its_token(tmp_path: Path) -> None:
    """A remote's address may hold one."""
    mute = fake_git(tmp_path, f"echo fatal: https://me:{TOKEN}@example.invalid/x.git has gone >&2; exit 128")

    with pytest.raises(HistoryError) as refused:
        mute.read(NOW)

    assert refused.value.evidence == "fatal: https://***@example.invalid/x.git has gone"


def test_a_remote_out_of_reach_is_an_error(origin: Path) -> None:
    """It is named, nobody is asked for a password, and it is no empty history."""
    folder = clone(origin, "ours")
    git(folder, "remote", "set-url", "origin", "http://127.0.0.1:9/x.git")

    with pytest.raises(HistoryError) as refused:
        branch(folder).append(entry(0), NOW)

    assert refused.value.what == "history: origin/testbay-history: git ls-remote failed"


@pytest.fixture
def sent() -> Iterator[tuple[str, list[list[str]]]]:
    """The address of a server that knows nothing, and the credentials that each request to it had."""
    seen: list[list[str]] = []

    class Unknowing(Handler):
        def do_GET(self) -> None:
            seen.append(self.headers.get_all("Authorization", []))
            self.reply(404)

    with serving(Unknowing) as url:
        yield url, seen


@pytest.mark.parametrize("where", ["", "http://example.invalid"], ids=["there", "elsewhere"])
def test_in_a_github_job_its_token_is_used(origin: Path, sent: tuple[str, list[list[str]]], where: str) -> None:
    """Once, also when the checkout kept another, and for GitHub alone."""
    (url, seen), folder = sent, clone(origin, "ours")
    git(folder, "remote", "set-url", "origin", f"{url}/acme/shop.git")
    git(folder, "config", f"http.{where or url}/.extraheader", "AUTHORIZATION: basic b2xk")
    job = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": TOKEN, "GITHUB_SERVER_URL": where or url}
    ours = branch(folder, **job)

    with pytest.raises(HistoryError, match="git ls-remote failed") as refused:
        ours.read(NOW)

    secret = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert seen[0] == ([] if where else [f"basic {secret}"])
    assert [TOKEN in text or secret in text for text in (str(refused.value), repr(ours))] == [False, False]


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [("a..b", CLEAN["PATH"], "git check-ref-format failed"), ("b", "", "git check-ref-format failed")],
    ids=["no-name", "no-git"],
)
def test_without_git_or_a_name_there_is_no_branch(tmp_path: Path, name: str, path: str, said: str) -> None:
    """Both are found before anything is asked."""
    with pytest.raises(HistoryError, match=said):
        branch(tmp_path, name, PATH=path).read(NOW)


def test_a_git_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that waits for ever monitors nothing."""
    monkeypatch.setattr(branches, "_PATIENCE_S", 0.1)

    with pytest.raises(HistoryError) as refused:
        fake_git(tmp_path, "exec sleep 1000").read(NOW)

    assert refused.value.evidence == "no result after 0 s"


def test_on_a_branch_by_hand(origin: Path) -> None:
    """The commands of docs/latency.md, in a clone."""
    folder = clone(origin, "ours")
    on = ("--branch", "testbay-history")

    first = call(folder, "history", report(origin.parent, 1), *on)
    again = call(folder, "history", report(origin.parent, 1), *on)
    told = call(folder, "latency", *on)
    over = call(folder, "latency", "health", *on, "--hard-ms", "99")

    since = f"{NOW - timedelta(hours=1):%Y-%m-%d}"
    assert [first, again] == [Done(0, f"origin/testbay-history: 1 run since {since}\n")] * 2
    assert told.lines[1] == "shop on production: health: not enough yet (1 of 34 runs)"
    head = "shop on production: health: over the limit: 100 ms in the newest run, hard_ms is 99"
    assert (over.code, over.lines[0]) == (20, head)
