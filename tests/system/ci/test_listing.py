"""What tier 2 lists: names for people, jobs for a workflow's matrix, only those that a change concerns."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.fakes.tiers import SCRIPT, Run, add_service, write

# A file that changed, and the services of two, a and b, whose tests that concerns.
CHANGES = {
    "its-own-file": ("services/a/src/x.py", ["a"]),
    "its-own-page": ("services/a/README.md", ["a"]),
    "what-all-share": ("src/testbay/harness/run/command.py", ["a", "b"]),
    "what-services-share": ("services/common/x.py", ["a", "b"]),
    "an-unusual-name": ("services/a/tab\there.py", ["a"]),
    "docs": ("docs/ci.svg", []),
    "a-page": ("README.md", []),
    "testbays-own-tests": ("tests/unit/test_x.py", []),
}


def commit(checkout: Path) -> None:
    """Everything as it is."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for argv in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *argv], cwd=checkout, check=True)


def concerned(tier2: Run) -> list[str]:
    """The services that the last commit concerns."""
    _, [answer] = tier2("--list", "--json", "--changed-since", "HEAD^")
    return [entry["service"] for entry in json.loads(answer)]


def test_list_names_each_service_on_a_line(checkout: Path, tier2: Run) -> None:
    """`--list` prints the services' names and nothing else; a folder that is no service is not one."""
    add_service(checkout, "orders")
    add_service(checkout, "billing2")
    (checkout / "services/__pycache__").mkdir()

    assert tier2("--list") == (0, ["billing2", "orders"])


def test_list_narrows_to_named_services(checkout: Path, tier2: Run) -> None:
    """A workflow for one service asks for that one; an unknown name is refused."""
    add_service(checkout, "billing")
    add_service(checkout, "orders")

    assert tier2("--list", "orders") == (0, ["orders"])
    assert tier2("--list", "--json", "order")[0] == 10


def test_an_unknown_option_is_refused(checkout: Path, tier2: Run) -> None:
    """A typing error does not list everything."""
    add_service(checkout, "a")

    assert tier2("--list", "--jsn") == (
        10,
        [
            "run-integration-tests: unknown option --jsn",
            "  why:      --list takes --json and --changed-since",
            "  do:       scripts/ci/run-integration-tests.sh --help",
        ],
    )


@pytest.mark.parametrize("options", [("--changed-since", "HEAD"), ("--changed-since", "--json")])
def test_names_are_not_chosen_by_a_change(checkout: Path, tier2: Run, options: tuple[str, str]) -> None:
    """All names would be taken for those that a change concerns, and a list of names for JSON."""
    add_service(checkout, "a")

    assert tier2("--list", *options) == (
        10,
        [
            "run-integration-tests: --changed-since needs --json",
            "  why:      names are listed whatever has changed",
            "  do:       --list --json --changed-since COMMIT",
        ],
    )


def test_since_when_has_to_be_said(checkout: Path, tier2: Run) -> None:
    """An option without its value lists nothing."""
    add_service(checkout, "a")

    assert tier2("--list", "--json", "--changed-since") == (
        10,
        [
            "run-integration-tests: --changed-since needs a commit",
            "  why:      since when?",
            '  do:       name one, or "" for all services',
        ],
    )


def test_list_needs_no_environment(checkout: Path, tier2: Run) -> None:
    """A workflow's first job makes none: any Python that is new enough answers, and without one that is said."""
    add_service(checkout, "a")
    (checkout / ".venv/bin/python").unlink()
    shutil.copy(SCRIPT.parents[1] / "bootstrap", checkout / "scripts")
    entry = {"service": "a", "shard": 1, "shards": 1}

    assert json.loads(tier2("--list", "--json", TESTBAY_PYTHON=sys.executable)[1][0]) == [entry]
    assert tier2("--list", TESTBAY_PYTHON="no-python")[1][0] == "scripts/bootstrap: no Python 3.11 or newer"


def test_list_as_json_is_a_workflow_matrix(checkout: Path, tier2: Run, tmp_path: Path) -> None:
    """`--list --json` has a job for each shard, ready for fromJSON(), and is the step's output in GitHub Actions."""
    add_service(checkout, "orders")
    add_service(checkout, "billing")
    (checkout / "services/orders/testbay.toml").write_text("shards = 2", encoding="utf-8")
    billing = '{"service":"billing","shard":1,"shards":1}'
    orders = '{"service":"orders","shard":1,"shards":2},{"service":"orders","shard":2,"shards":2}'

    listed = tier2("--list", "--json", GITHUB_OUTPUT=str(tmp_path / "output"))

    assert listed == (0, [f"[{billing},{orders}]"])
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"matrix=[{billing},{orders}]\n"


def test_an_output_that_cannot_be_written_is_said(checkout: Path, tier2: Run, tmp_path: Path) -> None:
    """The jobs that wait for the matrix would get none; the reason is a variable, not the checkout."""
    add_service(checkout, "a")

    assert tier2("--list", "--json", GITHUB_OUTPUT=str(tmp_path)) == (
        1,
        [
            '[{"service":"a","shard":1,"shards":1}]',
            "run-integration-tests: the jobs cannot be handed on",
            f"  why:      GITHUB_OUTPUT={tmp_path}: Is a directory",
            "  do:       let it name a file; outside GitHub Actions unset it",
        ],
    )


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        pytest.param("shards = 0", "services/a: shards = 0 is no number of shards", id="none"),
        pytest.param("shards = true", "services/a: shards = True is no number of shards", id="no-number"),
        pytest.param("shards = 257", "services/a: shards = 257 is no number of shards", id="more-than-a-matrix-has"),
        pytest.param("shards =", "services/a/testbay.toml holds no manifest: Invalid value", id="no-toml"),
    ],
)
def test_without_a_number_of_shards_there_is_no_matrix(checkout: Path, tier2: Run, manifest: str, what: str) -> None:
    """Said where the matrix is made, not by jobs that never start."""
    add_service(checkout, "a")
    (checkout / "services/a/testbay.toml").write_text(manifest, encoding="utf-8")

    code, lines = tier2("--list", "--json")

    assert (code, lines[0].partition(" (")[0]) == (10, f"run-integration-tests: {what}")


@pytest.mark.parametrize(("file", "services"), CHANGES.values(), ids=CHANGES)
def test_only_services_that_a_change_concerns_are_listed(
    checkout: Path, tier2: Run, file: str, services: list[str]
) -> None:
    """A change below services/NAME is NAME's; in pages and testbay's own tests nobody's; any other everybody's."""
    add_service(checkout, "a")
    add_service(checkout, "b")
    commit(checkout)
    write(checkout / file, "changed")
    commit(checkout)

    assert concerned(tier2) == services


def test_a_moved_file_concerns_both_ends(checkout: Path, tier2: Run) -> None:
    """The service that lost it has changed as well."""
    add_service(checkout, "a")
    add_service(checkout, "b")
    write(checkout / "services/a/x.py", "moved")
    commit(checkout)
    (checkout / "services/a/x.py").rename(checkout / "services/b/x.py")
    commit(checkout)

    assert concerned(tier2) == ["a", "b"]


@pytest.mark.parametrize("since", ["0" * 40, "--output=x"])
def test_without_a_commit_to_compare_with_all_are_listed(checkout: Path, tier2: Run, since: str) -> None:
    """A branch's first push names none; to test too much is the safe side, and it is said."""
    add_service(checkout, "a")
    commit(checkout)

    said = f"matrix: {since} is not a commit here, so all services are listed"
    listed = tier2("--list", "--json", "--changed-since", since)

    assert listed == (0, [said, '[{"service":"a","shard":1,"shards":1}]'])


def test_where_git_cannot_compare_all_are_listed(checkout: Path, tier2: Run) -> None:
    """A clone without the older commit's files: what git does not know may have changed."""
    add_service(checkout, "a")
    commit(checkout)
    write(checkout / "services/a/x.py", "")
    commit(checkout)
    argv = ["git", "rev-parse", "HEAD^^{tree}"]
    tree = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
    (checkout / ".git/objects" / tree[:2] / tree[2:]).unlink()

    code, lines = tier2("--list", "--json", "--changed-since", "HEAD^")
    said = "matrix: HEAD cannot be compared with HEAD^, so all services are listed"
    assert (code, said in lines, lines[-1]) == (0, True, '[{"service":"a","shard":1,"shards":1}]')


def test_started_by_hand_all_are_listed(checkout: Path, tier2: Run) -> None:
    """On a workflow_dispatch there is nothing to compare with: the commit's name is empty."""
    add_service(checkout, "a")

    assert tier2("--list", "--json", "--changed-since", "") == (0, ['[{"service":"a","shard":1,"shards":1}]'])


def test_help_says_how_to_call_it(tier2: Run) -> None:
    """`--help` prints the head of the script, and needs no service."""
    code, lines = tier2("--help")

    assert (code, lines[2]) == (0, "Usage: scripts/ci/run-integration-tests.sh [SERVICE…]")
