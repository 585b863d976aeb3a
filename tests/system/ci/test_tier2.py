"""Tier 2 runs for real here, on a small tree of stub services, and its output is compared line by line."""

import subprocess
from pathlib import Path

import pytest
from tests.system.fakes.tiers import DEADLINE_S, Run, add_service, lines_of, write


def test_every_service_runs(checkout: Path, tier2: Run) -> None:
    """Without arguments all services run, each speaks in its turn, and the summary has a line for each."""
    add_service(checkout, "billing")
    add_service(checkout, "orders")

    assert tier2() == (
        0,
        [
            "==> billing: services/billing/scripts/ci/run-tests.sh",
            "tests of billing",
            "==> orders: services/orders/scripts/ci/run-tests.sh",
            "tests of orders",
            "",
            "Services: 2 planned, 2 ran, 2 passed",
            "  billing                  passed N s",
            "  orders                   passed N s",
        ],
    )


def test_only_the_named_service_runs(checkout: Path, tier2: Run) -> None:
    """A name narrows the run, and the environment reaches tier 3 untouched."""
    add_service(checkout, "billing")
    add_service(checkout, "orders", ends='echo "engine $TESTBAY_ENGINE"')

    code, lines = tier2("orders", TESTBAY_ENGINE="embedded")

    assert (code, lines[1:3]) == (0, ["tests of orders", "engine embedded"])


def test_a_failed_service_does_not_stop_the_next(checkout: Path, tier2: Run) -> None:
    """All services run; the exit code is that of the first one that failed."""
    add_service(checkout, "a", ends="exit 13")
    add_service(checkout, "b", ends="exit 1")
    add_service(checkout, "c")

    code, lines = tier2()

    assert (code, lines[-4:]) == (
        13,
        [
            "Services: 3 planned, 3 ran, 1 passed",
            "  a                        failed (exit 13) N s",
            "  b                        failed (exit 1) N s",
            "  c                        passed N s",
        ],
    )


def test_a_service_that_cannot_be_started_is_not_counted_as_run(checkout: Path, tier2: Run) -> None:
    """Fewer services ran than were planned: exit 15, although nothing failed."""
    add_service(checkout, "a")
    write(checkout / "services/a/scripts/ci/run-tests.sh", "#!/no/such/interpreter\n")
    add_service(checkout, "b")

    code, lines = tier2()

    assert (code, lines[-3:]) == (
        15,
        [
            "Services: 2 planned, 1 ran, 1 passed",
            "  a                        could not be started N s",
            "  b                        passed N s",
        ],
    )


@pytest.mark.parametrize("code", [None, 1])
def test_a_script_that_ends_well_proves_nothing(checkout: Path, tier2: Run, code: int | None) -> None:
    """Only a record of this very run that passed does: an older one does not count."""
    add_service(checkout, "a")
    assert tier2()[0] == 0
    add_service(checkout, "a", code=code)

    code, lines = tier2()

    assert (code, lines[2], lines[-2:]) == (
        15,
        "run-integration-tests: a ended with exit code 0, and none of its tests are known to have run",
        ["Services: 1 planned, 0 ran, 0 passed", "  a                        ran no tests N s"],
    )


def test_services_run_side_by_side_and_speak_in_turn(checkout: Path, tier2: Run) -> None:
    """Each waits for the other to have started; their words are not mixed."""
    meet = 'touch "$0.met"; until [ -e services/{}/scripts/ci/run-tests.sh.met ]; do sleep 0.05; done; echo met {}'
    add_service(checkout, "a", ends=meet.format("b", "b"))
    add_service(checkout, "b", ends=meet.format("a", "a"))

    code, lines = tier2("--jobs", "2")

    said = [line for line in lines if line.startswith(("tests", "met"))]
    assert (code, said) == (0, ["tests of a", "met b", "tests of b", "met a"])


def test_the_next_service_starts_when_any_has_ended(checkout: Path, tier2: Run) -> None:
    """The first still runs then: it ends when the third has begun."""
    add_service(checkout, "a", ends="until [ -e c.began ]; do sleep 0.05; done")
    add_service(checkout, "b")
    add_service(checkout, "c", ends="touch c.began")

    code, lines = tier2("--jobs", "2")

    assert (code, [line for line in lines if line.startswith("tests")]) == (0, [f"tests of {name}" for name in "abc"])


def test_words_that_cannot_be_shown_are_a_note(checkout: Path) -> None:
    """Whoever reads has had enough; the tests have passed all the same, and all have run."""
    add_service(checkout, "a")
    add_service(checkout, "b", ends="until [ -e read ]; do sleep 0.05; done; echo more; touch b.ran")
    reader = "until read -r line; [[ $line == 'tests of b' ]]; do :; done; exec <&-; touch read"
    script = checkout / "scripts/ci/run-integration-tests.sh"
    line = f'"$0" --jobs 2 | {{ {reader}; }}; echo "${{PIPESTATUS[0]}}"'
    argv = ["bash", "-c", line, str(script)]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert (done.stdout, (checkout / "b.ran").exists(), done.stderr.splitlines()[:2]) == (
        "0\n",
        True,
        [
            "note: not all that b said is shown: showing it failed (Broken pipe)",
            "run-integration-tests: standard output cannot be written to: Broken pipe",
        ],
    )


def test_nothing_runs_where_nothing_can_be_shown(checkout: Path) -> None:
    """A full disk is told, with an exit code of its own."""
    add_service(checkout, "a", ends="touch a.ran")
    script = checkout / "scripts/ci/run-integration-tests.sh"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([script], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert (done.returncode, (checkout / "a.ran").exists(), done.stderr.splitlines()) == (
        1,
        False,
        [
            "run-integration-tests: standard output cannot be written to: No space left on device",
            "  do:       send it to a file or a program that takes it all",
        ],
    )


def test_without_room_for_words_services_run_one_after_another(checkout: Path) -> None:
    """What cannot be kept could not be shown in order: that takes longer, and is told."""
    for name in ("a", "b"):
        add_service(checkout, name)
        script = checkout / f"services/{name}/scripts/ci/run-tests.sh"
        write(script, script.read_text(encoding="utf-8").replace("\n", "\nulimit -S -f unlimited\n", 1))
    script = checkout / "scripts/ci/run-integration-tests.sh"
    argv = ["bash", "-c", 'ulimit -S -f 0; exec "$0" --jobs 2', str(script)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert (done.returncode, lines_of(done.stdout)[-3:], done.stderr.partition("No usable")[0]) == (
        0,
        ["Services: 2 planned, 2 ran, 2 passed", *(f"  {name}                        passed N s" for name in "ab")],
        "note: services run one after another, as their words cannot be kept: ",
    )


def test_a_run_of_another_service_proves_nothing(checkout: Path, tier2: Run) -> None:
    """Also where its name holds that of the one in question."""
    add_service(checkout, "a", code=None)
    add_service(checkout, "b-a", ends="until [ -e a.ended ]; do sleep 0.05; done")
    ends = "until [ -e .testbay/runs/*-b-a-00ff ]; do sleep 0.05; done; touch a.ended"
    write(checkout / "services/a/scripts/ci/run-tests.sh", f"#!/bin/bash\n{ends}\n")

    code, lines = tier2("--jobs", "2")

    assert (code, lines[-3:]) == (
        15,
        [
            "Services: 2 planned, 1 ran, 1 passed",
            "  a                        ran no tests N s",
            "  b-a                      passed N s",
        ],
    )


def test_an_unknown_service_is_refused_with_the_known_ones(checkout: Path, tier2: Run) -> None:
    """A typing error runs nothing and names what there is."""
    add_service(checkout, "billing")
    add_service(checkout, "orders")

    assert tier2("order") == (
        10,
        [
            "run-integration-tests: there is no service 'order'",
            "  why:      services/ holds: billing orders",
            "  do:       name one of these, or none for all",
        ],
    )


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("scripts/ci/run-tests.sh", "services/a has a manifest and no tier 3 script"),
        ("pyproject.toml", "services/a has a tier 3 script and no manifest"),
    ],
)
def test_an_incomplete_service_is_an_error(checkout: Path, tier2: Run, missing: str, what: str) -> None:
    """A service with one half missing is never skipped silently."""
    add_service(checkout, "a")
    (checkout / "services/a" / missing).unlink()

    code, lines = tier2("--list")

    assert (code, lines[0]) == (10, f"run-integration-tests: {what}")


def test_a_name_that_a_shell_would_stumble_over_is_refused(checkout: Path, tier2: Run) -> None:
    """Names travel through shells and SQL: letters, digits and _ only."""
    add_service(checkout, "two words")

    assert tier2("--list", "--json") == (
        10,
        [
            "run-integration-tests: services/two words is not a name for a service",
            "  why:      names travel through shells, SQL and NATS subjects",
            "  do:       rename the folder: a-z, 0-9, _ and - only",
        ],
    )


def test_a_run_without_services_is_red(tier2: Run) -> None:
    """Zero planned is not a pass."""
    assert tier2()[0] == 15


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, 0, id="at-home-replay-is-the-default"),
        pytest.param({"TESTBAY_LLM": "live"}, 14, id="live-without-a-key"),
        pytest.param({"CI": "true"}, 14, id="ci-without-a-key"),
        pytest.param({"CI": "true", "TESTBAY_LLM": "replay"}, 0, id="ci-asks-for-replay"),
        pytest.param({"CI": "true", "OPENAI_API_KEY": "k"}, 0, id="ci-with-a-key"),
    ],
)
def test_a_missing_key_is_an_error_where_replay_was_not_chosen(
    checkout: Path, tier2: Run, environment: dict[str, str], expected: int
) -> None:
    """In CI a missing key is exit 14, unless replay is asked for by name."""
    add_service(checkout, "a")

    assert tier2(**environment)[0] == expected


def test_the_missing_key_is_explained(checkout: Path, tier2: Run) -> None:
    """What happened, why, what to do, and what it was seen by; nothing runs."""
    add_service(checkout, "a")

    assert tier2(CI="true") == (
        14,
        [
            "run-integration-tests: OPENAI_API_KEY is not set",
            "  why:      the secret did not reach this step, or this job was never meant to have it",
            "  do:       hand it to the step, or ask for the stand-in by name: TESTBAY_LLM=replay",
            "  evidence: CI=true TESTBAY_LLM=",
        ],
    )


def test_a_failed_bootstrap_ends_the_run(checkout: Path, tier2: Run) -> None:
    """Without an environment nothing is tested, and the bootstrap's own words are the last ones."""
    add_service(checkout, "a")
    write(checkout / "scripts/bootstrap", "#!/bin/sh\necho no Python\nexit 1\n")

    assert tier2() == (1, ["no Python"])


def test_secrets_are_fetched_for_one_service(checkout: Path, tier2: Run) -> None:
    """`--with-secrets` hands over to testbay, which calls tier 2 again, with them; without a name there are none."""
    add_service(checkout, "a")
    write(checkout / ".venv/bin/testbay", '#!/bin/bash\necho testbay "$@"\n')

    assert tier2("--with-secrets", "--shard", "1/2", "a", CI="true") == (
        0,
        ["testbay with-secrets a -- scripts/ci/run-integration-tests.sh --shard 1/2 a"],
    )
    assert tier2("--with-secrets") == (
        10,
        [
            "run-integration-tests: --with-secrets needs the name of a service",
            "  why:      secrets are fetched for one service, as its manifest names them",
            "  do:       scripts/ci/run-integration-tests.sh --with-secrets a",
        ],
    )


def test_a_shard_is_handed_to_tier_3(checkout: Path, tier2: Run) -> None:
    """`--shard` reaches every service as TESTBAY_SHARD, and beats it."""
    add_service(checkout, "billing", ends='echo "shard $TESTBAY_SHARD"')
    add_service(checkout, "orders", ends='echo "shard $TESTBAY_SHARD"')

    assert [line for line in tier2("--shard", "2/4", TESTBAY_SHARD="1/1")[1] if "shard" in line] == ["shard 2/4"] * 2
    assert tier2("--shard", "2/4", "orders")[1][1:3] == ["tests of orders", "shard 2/4"]


def test_a_shard_without_a_value_is_refused(checkout: Path, tier2: Run) -> None:
    """An empty variable in a workflow would run every test in every job."""
    add_service(checkout, "billing")

    assert tier2("--shard", "") == (
        10,
        [
            "run-integration-tests: --shard needs a value",
            "  why:      which part of the tests, of how many?",
            "  do:       --shard 2/4",
        ],
    )


@pytest.mark.parametrize(
    ("words", "what", "why"),
    [
        (["--jobs"], "--jobs needs a number", "how many services at once?"),
        (["--jobs", "0"], "--jobs needs a number", "how many services at once?"),
        (["--job", "2"], "unknown option --job", "see what there is"),
    ],
)
def test_a_wrong_option_is_refused(checkout: Path, tier2: Run, words: list[str], what: str, why: str) -> None:
    """Before anything is set up."""
    add_service(checkout, "a")
    write(checkout / "scripts/bootstrap", "#!/bin/sh\necho set up\n")

    assert [line.partition(":")[::2] for line in tier2(*words)[1][:2]] == [
        ("run-integration-tests", f" {what}"),
        ("  why", f"      {why}"),
    ]
