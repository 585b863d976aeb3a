"""Tier 2, interrupted: signals reach those that run, their clean-up is waited for, and nothing new begins."""

import signal
import sys
from pathlib import Path

import pytest
from tests.system.fakes.tiers import DEADLINE_S, Run, add_service, lines_of, start, write


def test_a_signal_during_the_bootstrap_waits_for_its_end(checkout: Path) -> None:
    """Half an environment is worth nothing; after that no test begins."""
    add_service(checkout, "a")
    write(
        checkout / "scripts/bootstrap", "#!/bin/bash\necho at work\nuntil [ -e go ]; do sleep 0.05; done\necho done\n"
    )

    with start(checkout) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        (checkout / "go").touch()
        rest, _ = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, rest) == (143, "done\n")


def test_a_service_that_is_deaf_to_signals_is_waited_for(checkout: Path) -> None:
    """The run has been interrupted all the same, and the next service does not start."""
    add_service(checkout, "a", ends="trap '' INT TERM; echo deaf; until [ -e go ]; do sleep 0.05; done")
    add_service(checkout, "b")

    with start(checkout, "--jobs", "1") as process:
        assert process.stdout
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        (checkout / "go").touch()
        rest, _ = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, lines_of(rest)[1:]) == (
        143,
        ["Services: 2 planned, 1 ran, 1 passed", "  a                        passed N s"],
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
