"""The present state of everything that is watched."""

from pathlib import Path

from testbay.manifest.checks import JourneyCheck
from testbay.production.checks.client import Opening
from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.watch import facts
from testbay.production.watch.desk import Desk, Etiquette, Heard
from testbay.production.watch.places import Spot, Watched
from testbay.production.watch.recorder import RoundKeeper, Tally
from testbay.production.watch.store import WatchStore
from testbay.production.watch.watcher import Watcher

ORDER = Series("shop", "prod", "order")
STEP = {"delete": "/things/1", "expect": ["status == 204"]}
JOURNEY = JourneyCheck.model_validate(
    {"kind": "journey", "id": "order", "writes": True, "step": [STEP], "cleanup": [STEP]}
)


def test_a_cleanup_that_leaves_something_is_not_well(tmp_path: Path) -> None:
    """Its outage is told, so the page does not say that all is well; before it was asked it does not count."""
    job = Watched(series=ORDER, check=JOURNEY, instance="", every_s=60, is_plain=False)
    spot = Spot(
        service="shop", target_name="prod", target=None, opening=Opening(target=None, root=tmp_path), jobs=[job]
    )
    desk, kept = Desk(rules={"shop": Etiquette(after=1)}), WatchStore(tmp_path)
    recorder = RoundKeeper(desk=desk, store=kept, tally=Tally(), say=print)
    watcher = Watcher(spots=[spot], wishes={}, recorder=recorder, say=print)
    said = [[(one.series.check, one.state) for one in facts.stands(watcher, 1.0)]]
    for name, verdict in (("order", "pass"), ("order/cleanup", "fail")):
        result = Result(check=name, kind="journey", verdict=verdict, said="no")  # type: ignore[arg-type]
        desk.take([Heard(series=ORDER._replace(check=name), result=result, at=1.0)])
    said.append([(one.series.check, one.state) for one in facts.stands(watcher, 1.0)])
    kept.close()

    assert said == [[("order", "unknown")], [("order", "pass"), ("order/cleanup", "fail")]]
