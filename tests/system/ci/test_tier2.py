"""Tier 2 runs for real here, on a small tree of stub services, and its output is compared line by line."""

import signal
import sys
from pathlib import Path

import pytest
from tests.system.fakes.tiers import DEADLINE_S, Run, add_service, lines_of, start, write


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


def test_words_that_cannot_be_shown_are_a_note(checkout: Path, tier2: Run) -> None:
    """The tests have passed all the same."""
    python = checkout / ".venv/bin/python"
    python.unlink()  # a link to the real one
    write(python, f'#!/bin/sh\ncase $4 in *stdout.buffer*) exit 3 ;; esac\nexec "{sys.executable}" "$@"\n')
    add_service(checkout, "a", ends="until [ -e b.ran ]; do sleep 0.05; done")
    add_service(checkout, "b", ends="touch b.ran")

    code, lines = tier2("--jobs", "2")

    assert (code, [line for line in lines if line.startswith("note")]) == (
        0,
        ["note: not all that b said is shown: showing it failed (exit 3)"],
    )


def test_an_interrupted_service_ends_those_beside_it(checkout: Path, tier2: Run) -> None:
    """Ctrl-C in one is meant for all: the other is told, and waited for."""
    add_service(checkout, "a", ends="until [ -e services/b/started ]; do sleep 0.05; done; exit 130")
    add_service(
        checkout,
        "b",
        ends="trap 'echo ended; exit 130' INT; touch services/b/started; for _ in {1..600}; do sleep 0.1; done",
    )

    code, lines = tier2("--jobs", "2")

    assert (code, lines[3:]) == (
        130,
        [
            "tests of b",
            "ended",
            "",
            "Services: 2 planned, 2 ran, 0 passed",
            "  a                        interrupted N s",
            "  b                        interrupted N s",
        ],
    )


def test_an_interrupted_service_ends_the_run(checkout: Path, tier2: Run) -> None:
    """A tier 3 that ended by Ctrl-C means "stop": the next service does not start."""
    add_service(checkout, "a", ends="exit 130")
    add_service(checkout, "b")

    code, lines = tier2("--jobs", "1")

    assert (code, lines[-2:]) == (
        130,
        ["Services: 2 planned, 1 ran, 0 passed", "  a                        interrupted N s"],
    )


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_tests_and_their_cleanup_is_waited_for(
    checkout: Path, sent: signal.Signals, expected: int
) -> None:
    """Ctrl-C and SIGTERM reach tier 3 once; what it says while it cleans up still comes out."""
    # Python hears Ctrl-C only where it was not told to ignore it, as bash tells background jobs.
    program = checkout / "program.py"
    program.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "try:\n    print('started', flush=True)\n    time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    time.sleep(0.3)\n    print('cleaned up')\n    sys.exit({expected})\n",
        encoding="utf-8",
    )
    add_service(checkout, "a", ends=f'exec "{sys.executable}" "{program}"')

    with start(checkout) as process:
        assert process.stdout
        head = [process.stdout.readline().strip() for _ in range(3)]
        process.send_signal(sent)
        rest, _ = process.communicate(timeout=DEADLINE_S)

    assert (head[-1], process.returncode) == ("started", expected)
    assert lines_of(rest) == [
        "cleaned up",
        "",
        "Services: 1 planned, 1 ran, 0 passed",
        "  a                        interrupted N s",
    ]


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
