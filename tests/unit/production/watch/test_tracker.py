"""What counts as an outage, and what is said of it to whom."""

from testbay.production.checks.report import Result, Verdict
from testbay.production.history.slowness import Series
from testbay.production.watch import facts
from testbay.production.watch.notifier import Notifier
from testbay.production.watch.tracker import OutageRules, OutageTracker, RoundResult

HEALTH, LOGIN = Series("shop", "prod", "health"), Series("shop", "prod", "login")


def tracker(*channels: str, again_s: float | None = None) -> OutageTracker:
    return OutageTracker(rules={"shop": OutageRules(after=2, recovered_after=2, again_s=again_s, channels=channels)})


def hear(
    at: OutageTracker, moment: float, verdict: Verdict, *series: Series, said: str = "no", held: bool = False
) -> None:
    at.take(
        RoundResult(
            series=one, result=Result(check=one.check, kind="http", verdict=verdict, said=said), at=moment, held=held
        )
        for one in series
    )


def titles(notifier: Notifier, now: float) -> list[str]:
    """What is sent at a moment; the channels take it."""
    deliveries = notifier.choose(now)
    for delivery in deliveries:
        notifier.sent(delivery, now)
    return [f"{delivery.channel}: {delivery.notification.title}" for delivery in deliveries]


def test_one_bad_round_is_no_outage() -> None:
    """It takes so many in a row as the manifest says."""
    made = tracker("a")
    for moment, verdict in enumerate(("fail", "pass", "fail", "pass")):
        hear(made, moment, verdict, HEALTH)  # type: ignore[arg-type]

    assert made.incidents == {}


def test_what_never_passed_is_not_well_before_its_outage() -> None:
    """A failed round opens no outage yet and does not prove that the check was ever well; a good round proves it."""
    made, said = tracker("a"), []
    for moment, verdict in enumerate(("fail", "pass", "fail", "fail")):
        hear(made, moment, verdict, HEALTH)  # type: ignore[arg-type]
        said.append(facts._state(made.standings[HEALTH], 60, moment, skips=False))

    assert said == ["unknown", "pass", "pass", "fail"]


def test_checks_that_fail_for_one_cause_are_one_message() -> None:
    """They are two incidents when their causes differ."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH, LOGIN, said=f"GET /{moment}: connection refused")
    told = titles(notifier, 10)

    assert told == ["a: shop on prod: health and 1 more fail"]


def test_an_outage_that_began_and_ended_unheard_is_one_message() -> None:
    """As after quiet hours."""
    made = tracker("a")
    notifier = Notifier(tracker=made, is_quiet=lambda _, now: now < 100)
    for moment, verdict in enumerate(("fail", "fail", "pass", "pass")):
        hear(made, moment, verdict, HEALTH)  # type: ignore[arg-type]

    assert (titles(notifier, 50), titles(notifier, 100)) == (
        [],
        ["a: shop on prod: was down for 3 s, and is passing again: health"],
    )


def test_what_goes_on_is_said_again() -> None:
    """So often as the manifest says, and not more often; a clock that jumped ahead and back does not silence it."""
    made, notifier = (one := tracker("a", again_s=60)), Notifier(tracker=one)
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH)
    first = titles(notifier, 10)
    for now in (59, 62, 63, 119, 122, 10**6, 130, 182):
        made.tick(now)
        first += titles(notifier, now)

    assert [title.partition("still")[1] for title in first] == ["", *["still"] * 4]


def test_a_channel_that_fails_is_told_to_the_others_once() -> None:
    """And its message waits longer each time, until it is taken."""
    made, notifier = (one := tracker("shop.a", "shop.b")), Notifier(tracker=one)
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH)
    now, heard = 10.0, []
    for _ in range(40):
        for delivery in notifier.choose(now):
            if delivery.channel == "shop.a":
                notifier.failed(delivery, "it is deaf", now)
            else:
                heard.append(delivery.notification.title)
                notifier.sent(delivery, now)
        now += 5

    assert heard == ["shop on prod: health fails", "testbay watch cannot reach shop.a"]
    assert notifier.complaint() is not None


def test_a_channel_that_asks_for_a_pause_gets_it() -> None:
    """The first pause of its own would be over after five seconds; news of another outage keeps it, too."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH)
    notifier.failed(notifier.choose(10)[0], "status 429", 10, asked_s=120)
    for moment in (11, 12):
        hear(made, moment, "fail", LOGIN, said="something else")

    assert [len(titles(notifier, now)) for now in (20, 129, 130, 131)] == [0, 0, 1, 1]


def test_what_a_deploy_breaks_and_mends_is_told_to_nobody() -> None:
    """What outlives it is told, after as many rounds as count anywhere."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment in (0, 1, 2):
        hear(made, moment, "fail", HEALTH, held=True)
    silent = titles(notifier, 20)
    hear(made, 21, "fail", HEALTH)
    silent += titles(notifier, 30)
    hear(made, 31, "fail", HEALTH)

    assert (silent, titles(notifier, 40)) == ([], ["a: shop on prod: health fails"])


def test_a_check_that_the_manifest_has_no_more_ends_its_incident() -> None:
    """Or it would go on for ever."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH)
    titles(notifier, 10)
    made.forget([LOGIN], 20)

    assert (titles(notifier, 21), made.incidents) == (["a: shop on prod: no longer checked after 20 s: health"], {})


def test_a_check_that_fails_again_keeps_its_incident_open() -> None:
    """What ended for one check and began again for the same cause ends with its last check."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment, verdict, *series in (
        *((at, "fail", HEALTH, LOGIN) for at in (0, 1)),
        *((at, "pass", HEALTH) for at in (2, 3)),
        *((at, "fail", HEALTH) for at in (4, 5)),
        *((at, "pass", LOGIN) for at in (6, 7)),
    ):
        hear(made, moment, verdict, *series)  # type: ignore[arg-type]

    (incident,) = made.incidents.values()
    assert (incident.members, incident.failing, incident.closed) == ((HEALTH, LOGIN), (HEALTH,), 0)
    assert titles(notifier, 10) == ["a: shop on prod: health fails"]


def test_what_comes_and_goes_is_told_once_more_and_not_each_time() -> None:
    """An outage that follows closely takes twice as many good rounds to end; one an hour later takes the usual ones."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    told, now = [], 0
    for verdict, rounds in [("fail", 3), ("pass", 3)] * 20 + [("pass", 4), ("pass", 60), ("fail", 2), ("pass", 2)]:
        for _ in range(rounds):
            now += 60
            hear(made, now, verdict, HEALTH)  # type: ignore[arg-type]
            told += titles(notifier, now + 10)

    assert [title.removeprefix("a: shop on prod: ").partition(" after")[0] for title in told] == [
        *("health fails", "passing again"),  # after two good rounds
        *("health fails", "passing again"),  # after four
        *("health fails", "passing again"),  # an hour of good rounds later, after two
    ]


def test_what_fails_in_every_third_round_is_an_outage_and_in_every_tenth_is_none() -> None:
    """One bad replica of three never fails twice in a row; it is told twice, and then once that all rounds are good."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    told: list[str] = []
    for moment, bad in enumerate([*(at % 10 == 0 for at in range(200)), *(at % 3 == 0 for at in range(150))]):
        hear(made, moment * 60, "fail" if bad else "pass", HEALTH)
        told += titles(notifier, moment * 60 + 10)
    hear(made, 360 * 60, "pass", *[HEALTH] * 4)

    assert [title.partition(" after")[0] for title in (*told, *titles(notifier, 361 * 60))] == [
        "a: shop on prod: health fails",
        "a: shop on prod: passing again",
        "a: shop on prod: health fails",
        "a: shop on prod: passing again",
    ]


def test_news_for_a_channel_that_the_manifest_has_no_more_is_dropped() -> None:
    """A watcher with another manifest goes on from the same history."""
    made = tracker("a", "old")
    for moment in (0, 1):
        hear(made, moment, "fail", HEALTH)
    made.rules = {"shop": OutageRules(channels=("a",))}
    made.forget([HEALTH], 2)

    assert [delivery.channel for delivery in Notifier(tracker=made).choose(10)] == ["a"]


def test_a_clock_that_is_set_back_holds_no_news_back() -> None:
    """What was due at a moment that is in the future now is not waited for."""
    made, notifier = (one := tracker("a")), Notifier(tracker=one)
    for moment in (10_000, 10_001):
        hear(made, moment, "fail", HEALTH)

    assert (titles(notifier, 10_002), titles(notifier, 6400)) == ([], ["a: shop on prod: health fails"])
