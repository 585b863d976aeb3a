"""Several instances on one lease, which may change hands at any moment: whichever leads is asked."""

from typing import Any

from harness.instance import Instance
from harness.waiting import eventually


def leader(*instances: Instance) -> Instance:
    """The one that says it leads; it need not be so any more when this returns."""
    return eventually(lambda: [one for one in instances if one.leads()], "one of them to lead")[0]


def scan(*instances: Instance) -> dict[str, Any]:
    """What a whole scan came to that began after this call, by whichever instance leads."""
    try:
        found = eventually(lambda: _scanned(instances), "one of them to scan")
    except AssertionError as exc:
        exc.add_note("\n".join(one.logs()[-2000:] for one in instances))
        raise
    return found[0]


def _scanned(instances: tuple[Instance, ...]) -> list[dict[str, Any]]:
    for one in instances:
        if one.leads() and (outcome := one.try_scan()):
            return [outcome]
    return []
