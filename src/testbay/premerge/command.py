"""`testbay check --phase pre-merge`: the manifest's checks as pytest items, against the service on a lease."""

import sys

from testbay.errors import ManifestError
from testbay.harness.run import command as runs
from testbay.harness.run.run import Run
from testbay.output import Voice
from testbay.production.checks import command as checking
from testbay.production.checks.command import CheckOptions
from testbay.production.checks.report import Report, from_json


def execute(options: CheckOptions, voice: Voice) -> tuple[Report | None, int]:
    """Run pytest with an item for each check; return the exit code.

    No report is written if the service cannot start.

    Raises:
        ManifestError: An unknown check, none for this phase, or an option that only a deployment has.
    """
    checking.chosen(options)
    file = checking.report_file(options)
    _refuse_what_is_deployed(options)
    output = sys.stderr.buffer if options.as_json else None  # pytest's own words are not JSON
    # Each worker would start a service of its own; what checks cover says nothing about the tests.
    manifest = options.manifest.model_copy(update={"workers": 1, "coverage": "off"})
    run = Run(manifest, options.project, options.settings, voice, collect=manifest.file, output=output)
    ids = [f"--testbay-check={name}" for name in options.ids]
    code = runs.execute(run, ["-p", "testbay.premerge.items", f"--testbay-checks={file}", *ids])
    if not file.exists():
        return None, code
    report = from_json(file.read_bytes())
    checking.print_report(report, file, voice)
    checking.summarise(report, options, voice)
    return report, report.exit_code or code if code in (0, 1) else code


def _refuse_what_is_deployed(options: CheckOptions) -> None:
    if options.target is not None:
        raise ManifestError("--target: before a merge the service on a lease is asked", todo="leave it out")
    if options.history is not None:
        option = options.history.option.partition(" ")[0]
        raise ManifestError(
            f"{option}: a service on a lease has no history", todo="leave it out; hard_ms is judged in every phase"
        )
