"""Deploys as a watcher sees them: what a build on its way excuses, and for how long."""

from testbay.manifest.rollout import Rollout
from testbay.production.checks.report import Verdict
from testbay.production.watch.rollouts import RolloutProgress, observed

STEADY = Rollout(expected="old")
ON_ITS_WAY = Rollout(expected="old", under_way=("new",))
ARRIVED = Rollout(expected="new")


def walk(*steps: tuple[str, Verdict, Rollout], every_s: float = 10) -> list[RolloutProgress]:
    """What each answer makes of it, ten seconds after the one before."""
    found = [RolloutProgress()]
    for number, (served, verdict, rollout) in enumerate(steps):
        found.append(observed(found[-1], served, verdict, rollout, now=number * every_s, give_up_s=60))
    return found[1:]


def test_a_deploy_excuses_until_its_build_answers() -> None:
    """From the platform's word on; when the new build answers for good, that is said once."""
    found = walk(
        ("old", "pass", STEADY),
        ("old", "pass", ON_ITS_WAY),
        ("", "fail", ON_ITS_WAY),
        ("old", "stale", ARRIVED),
        ("new", "pass", ARRIVED),
        ("new", "pass", ARRIVED),
    )

    assert [one.is_rolling for one in found] == [False, True, True, True, False, False]
    assert [one.arrived for one in found] == [False, False, False, False, True, False]


def test_a_deploy_that_never_ends_excuses_nothing_any_more() -> None:
    """After `give_up` it counts, and the same deploy does not begin to excuse again."""
    late: tuple[str, Verdict, Rollout] = ("old", "stale", ARRIVED)
    found = walk(*[late] * 12)

    assert [one.is_rolling for one in found] == [True] * 7 + [False] * 5


def test_a_deploy_that_is_lost_excuses_nothing() -> None:
    """The platform says that it never will answer."""
    lost = Rollout(expected="new", lost="the deployment of new FAILED")

    assert [one.is_rolling for one in walk(("old", "stale", lost))] == [False]


def test_another_build_is_seen_without_a_platform() -> None:
    """By the commit that answers alone: it is asked at once, and nothing was excused."""
    nothing = Rollout(expected="")
    found = walk(("old", "pass", nothing), ("old", "pass", nothing), ("new", "pass", nothing))

    assert [(one.is_rolling, one.arrived) for one in found] == [(False, False), (False, False), (False, True)]
