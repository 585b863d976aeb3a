"""Which of the services' checks there are to ask, for run-checks.sh and for the matrix of a workflow.

checks.py calls NAME…           a line for each call of `testbay check` before a merge: its arguments
checks.py services SINCE NAME…  the services that have such calls, and files that changed; SINCE may be empty
checks.py deployments NAME…     the deployments that are asked on a schedule and whose address is known

It needs nothing but Python, as matrix.py does. The manifests are looked at, not checked: that is testbay's.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matrix import announce, concerned, manifest

SERVED = ("http", "websocket", "journey")  # what asks a service, and where it does so unless it says otherwise
SERVED_IN = ("pre-merge", "post-deploy", "scheduled")
Check = Mapping[str, Any]


def main(question: str, *words: str) -> None:
    """Print the answer."""
    if question == "calls":
        print("\n".join(call for name in words for call in calls(name)))
    elif question == "services":
        since, *names = words
        chosen = concerned(since, set(names)) if since else set(names)
        announce([{"service": name} for name in names if name in chosen and calls(name)])
    else:
        announce([entry for name in words for entry in deployments(name)])


def calls(name: str) -> list[str]:
    """On a lease whatever asks the service; of the variables that are looked at before a deploy, those kept in a file
    that is here: production's own are on no machine that builds.
    """
    found = [f"{name} --phase pre-merge"] if any(asked_in(check, "pre-merge") for check in checks(name)) else []
    files = [
        f"--id {check['id']}"
        for check in checks(name)
        if check.get("kind") == "env" and asked_in(check, "pre-deploy") and is_here(name, check)
    ]
    return [*found, *([f"{name} --phase pre-deploy {' '.join(files)}"] if files else [])]


def deployments(name: str) -> Iterable[dict[str, str]]:
    """Those with an address; of the others it is said, in GitHub Actions for all to see, why nobody asks them."""
    targets = manifest(Path("services") / name).get("target", {})
    if not isinstance(targets, dict) or not any(asked_in(check, "scheduled") for check in checks(name)):
        return
    for target, table in targets.items():
        absent = [one for one in re.findall(r"\$\{(\w+)\}", table.get("base_url", "")) if not os.environ.get(one)]
        if absent:
            notice(f"{name} on {target} is not checked: the variable {absent[0]} is not set (docs/ci.md)")
        else:
            yield {"service": name, "target": target}


def checks(name: str) -> list[Check]:
    """As they stand in the manifest."""
    found = manifest(Path("services") / name).get("check", [])
    return [check for check in found if isinstance(check, dict)] if isinstance(found, list) else []


def asked_in(check: Check, phase: str) -> bool:
    """Whether it is asked there: as it says, or as its kind is."""
    usual = SERVED_IN if check.get("kind") in SERVED else ("pre-deploy",)
    return phase in (check.get("phases") or (("pre-merge",) if check.get("without") else usual))


def is_here(name: str, check: Check) -> bool:
    """Whether its variables are in a file, and that is there."""
    return bool(check.get("source")) and (Path("services") / name / check["source"]).is_file()


def notice(text: str) -> None:
    """In the log, at the run and in the summary of the job."""
    print(f"::notice::{text}" if os.environ.get("GITHUB_ACTIONS") == "true" else f"checks: {text}", file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
