"""`testbay check`: chooses checks and target, runs them, writes and prints the report."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from testbay.errors import EngineUnavailableError, HistoryError, ManifestError
from testbay.files import records_of, write_whole
from testbay.manifest.checkbase import LIVE, PHASES, Phase
from testbay.manifest.checks import Check
from testbay.manifest.service import Manifest
from testbay.manifest.targets import Target
from testbay.output import Voice, append_summary
from testbay.production import extra
from testbay.production.checks import runner, summary
from testbay.production.checks.report import Report, Result
from testbay.production.history.command import Place
from testbay.production.history.verdicts import Past
from testbay.production.remote import deployed
from testbay.settings import Settings
from testbay.text import nearest

_KEPT = 100
_SERVED = ("http", "websocket", "journey")


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """The arguments of the command line."""

    manifest: Manifest
    project: Path
    settings: Settings
    phase: Phase
    target: str | None = None
    ids: tuple[str, ...] = ()
    commit: str | None = None
    within_s: float = 900.0
    history: Place | None = None
    as_json: bool = False


def phase(text: str) -> Phase:
    """The phase of that name.

    Raises:
        ManifestError: Not found.
    """
    for known in PHASES:
        if text == known:
            return known
    raise ManifestError(
        f"--phase: {text!r} is not a phase{nearest(text, PHASES)}" if text else "which phase?",
        todo=f"use one of: {', '.join(PHASES)}",
    )


def execute(options: CheckOptions, voice: Voice) -> tuple[Report, int]:
    """Check a deployment or a configuration; return the report and the exit code.

    Raises:
        ManifestError: No such check or target, or none for this phase.
        InterruptedRunError: Ctrl-C or SIGTERM; journeys were cleaned up first.
        EngineUnavailableError: The report cannot be kept; what was found was said before.
    """
    checks = chosen(options)
    file = report_file(options)
    name, target = _target(options, checks)
    environ = options.settings.environ
    expected = deployed.named(options.commit, options.phase, options.manifest.root, environ)
    report = runner.run(
        runner.Plan(
            service=options.manifest.service,
            root=options.manifest.root,
            phase=options.phase,
            checks=checks,
            target=target,
            target_name=name,
            expected_commit=expected,
            within_s=options.within_s,
            past=_past(options.history),
            environ=environ,
            secrets=(*options.manifest.secrets, *deployed.TOKENS),
            known=_known(options.manifest, target),
            lookup=deployed.lookup(target, options.phase, expected, environ),
            progress=voice.progress,
            tell=voice.say,
        )
    )
    lost = _lost(report, file)
    print_report(report, file, voice)
    if options.history and not any(check.kind == "http" and check.latency for check in checks):
        voice.detail(f"not compared with {options.history}: none of these checks says `latency`")
    _annotate(report, voice)
    summarise(report, options, voice)
    if lost:  # what was found is said all the same
        raise lost
    return report, report.exit_code


def _annotate(report: Report, voice: Voice) -> None:
    """Annotate each failed check in GitHub Actions."""
    for result in report.results:
        if result.verdict not in ("pass", "skip"):
            voice.annotate(result.said, title=f"{report.service}: {result.name}")


def _lost(report: Report, file: Path) -> EngineUnavailableError | None:
    """Write the report; if that fails, remove it and return the error."""
    try:
        write_whole(file, report.as_json())
    except OSError as error:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        return _unkept(file.parent, error)
    return None


def chosen(options: CheckOptions) -> list[Check]:
    """The checks of this phase, or those of them that were named.

    Raises:
        ManifestError: An unknown check, or none for this phase.
        EngineUnavailableError: The packages that checks need are not installed.
    """
    extra.demand("testbay check", extra.CHECKS)
    checks = options.manifest.check
    known = [check.id for check in checks]
    for name in options.ids:
        if name not in known:
            raise ManifestError(
                f"--id: unknown check {name!r}{nearest(name, known)}", todo=f"known: {', '.join(known) or 'none'}"
            )
    found = runner.chosen(checks, options.phase, options.ids)
    if not found:
        named = "none of these checks" if options.ids else f"no check of {options.manifest.service}"
        raise ManifestError(
            f"{named} is for the phase {options.phase}",
            todo="add [[check]] to the manifest, or the phase to a check's `phases` (`testbay explain checks`)",
        )
    return found


def _target(options: CheckOptions, checks: list[Check]) -> tuple[str, Target | None]:
    targets = options.manifest.target
    known = ", ".join(targets) or "none: add [target.NAME] with its base_url"
    if options.target is not None:
        if options.target not in targets:
            raise ManifestError(
                f"--target: unknown target {options.target!r}{nearest(options.target, targets)}",
                todo=f"known: {known}",
            )
        return options.target, targets[options.target]
    if not any(check.kind in _SERVED for check in checks):
        return "", None
    if len(targets) != 1:
        raise ManifestError("which target?", todo=f"say --target NAME; known: {known}")
    return next(iter(targets.items()))


def _known(manifest: Manifest, target: Target | None) -> list[str]:
    """All names of results that a deployment can have: an incident under another name is obsolete."""
    names = [LIVE] if target and target.live else []
    for check in manifest.check:
        if set(check.asked_in) - {"pre-merge"}:
            names += runner.names(check)
    return names


def _past(where: Place | None) -> Past | None:
    """Load the past runs. An error becomes the verdict of checks that need them, and does not end the run."""
    if where is None:
        return None
    try:
        return Past(option=where.option, found=where.read(datetime.now(UTC)))
    except HistoryError as error:
        return Past(option=where.option, found=error)


def report_file(options: CheckOptions) -> Path:
    """Choose the file of the report, and remove the oldest reports beyond the newest hundred."""
    try:
        folder = records_of(options.project, "checks")
    except OSError as error:
        raise _unkept(options.project / ".testbay" / "checks", error) from None
    for stale in sorted(folder.glob("*.json"))[: -_KEPT + 1]:
        stale.unlink(missing_ok=True)
    now = datetime.now(UTC)
    return folder / f"{now:%Y%m%d-%H%M%S}-{options.manifest.service}-{options.phase}-{secrets.token_hex(2)}.json"


def _unkept(folder: Path, error: OSError) -> EngineUnavailableError:
    todo = "make the folder writable and no link, or some room"
    return EngineUnavailableError(f"{folder}: cannot keep the report here", why=str(error.strerror), todo=todo)


def print_report(report: Report, file: Path, voice: Voice) -> None:
    """Print a line for each result, the evidence of those that did not pass, and the sum."""
    for result in report.results:
        voice.say(f"{_mark(result)} {result.name}: {result.said}{_how_long(result)}")
        for line in result.evidence if result.verdict not in ("pass", "skip") else ():
            voice.detail(f"    {line}")
    voice.verdict(f"Checks: {summary.headline(report) or 'none was asked'}", good=report.exit_code == 0)
    voice.detail(f"report: {file}")


def summarise(report: Report, options: CheckOptions, voice: Voice) -> None:
    """Add the report to the job summary, where there is one."""
    target = options.settings.step_summary
    if target and (problem := append_summary(summary.markdown(report), target)):
        voice.detail(problem)


def _mark(result: Result) -> str:
    return result.verdict.upper().ljust(5) if result.verdict not in ("pass", "skip") else result.verdict.ljust(5)


def _how_long(result: Result) -> str:
    if not result.attempts:
        return ""
    tries = f", attempt {result.attempts}" if result.attempts > 1 else ""
    return f" ({result.duration_s:.2f} s{tries})"
