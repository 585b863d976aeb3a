"""Which of the services' checks there are to ask, for run-checks.sh and for the matrix of a workflow.

checks.py calls NAME…           a line for each call of `testbay check` before a merge: its arguments
checks.py services SINCE NAME…  the services that have such calls, and files that changed; SINCE may be empty
checks.py deployments NAME…     the deployments that are asked on a schedule and whose address is known

The manifests are read by testbay, so it runs in the .venv: what is left out here would be asked by nobody.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from matrix import announce, concerned

from testbay.errors import BayError
from testbay.manifest.checks import EnvCheck
from testbay.manifest.load import load_manifest
from testbay.manifest.placeholders import with_environment
from testbay.manifest.service import Manifest
from testbay.output import Voice
from testbay.production.checks.runner import chosen


def main(question: str, *words: str) -> None:
    """Print the answer."""
    if question == "calls":
        print("\n".join(call for name in words for call in calls(read(name))))
    elif question == "services":
        since, *names = words
        some = concerned(since, set(names)) if since else set(names)
        announce([{"service": name} for name in names if name in some and calls(read(name))])
    else:
        announce([entry for name in words for entry in deployments(read(name))])


def read(name: str) -> Manifest:
    """A service's manifest, whole and checked."""
    return load_manifest(Path("services") / name)


def calls(manifest: Manifest) -> list[str]:
    """On a lease whatever asks the service; of the variables that are looked at before a deploy those in a file that is
    here: production's own are on no machine that builds.
    """
    name = manifest.service
    found = [f"{name} --phase pre-merge"] if chosen(manifest.check, "pre-merge", ()) else []
    files = [
        f"--id {check.id}"
        for check in chosen(manifest.check, "pre-deploy", ())
        if isinstance(check, EnvCheck) and check.source and (manifest.root / check.source).is_file()
    ]
    return [*found, *([f"{name} --phase pre-deploy {' '.join(files)}"] if files else [])]


def deployments(manifest: Manifest) -> Iterable[dict[str, str]]:
    """Those with an address; of the others it is said, in GitHub Actions for all to see, why nobody asks them."""
    if not chosen(manifest.check, "scheduled", ()):
        return
    for name, target in manifest.target.items():
        _, absent = with_environment(target.base_url, os.environ)
        if absent:
            notice(f"{manifest.service} on {name} is not checked: the variable {absent[0]} is not set (docs/ci.md)")
        else:
            yield {"service": manifest.service, "target": name}


def notice(text: str) -> None:
    """In the log, at the run and in the summary of the job."""
    print(f"::notice::{text}" if os.environ.get("GITHUB_ACTIONS") == "true" else f"checks: {text}", file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BayError as error:
        Voice(sys.stderr, environ=os.environ).error(error)
        sys.exit(error.exit_code)
