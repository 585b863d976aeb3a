"""The run report: one self-contained HTML file that needs no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from testbay import text as wording
from testbay.errors import ManifestError, remedy
from testbay.files import write_whole
from testbay.harness.run.recordparts import Attempt
from testbay.harness.run.report import timeline
from testbay.harness.run.report.recorded import RecordedRun, Test

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent
_ARTICLES = 100
_EVIDENCE_CHARACTERS = 8 << 20
_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """A failed or flaky test, and as much of its evidence as the page has room for."""

    number: int
    test: Test
    attempts: Sequence[Attempt]
    left_out: bool


def write(run: RecordedRun, file: Path) -> None:
    """Write a run's report.

    Raises:
        ManifestError: The file cannot be written.
    """
    try:
        write_whole(file, html(run))
    except OSError as error:
        todo = remedy(error, "name a file in a folder that is there")
        raise ManifestError(f"{file}: {error.strerror}", todo=todo) from None


def show(file: Path) -> bool:
    """Open a file in the user's browser; return whether one was found."""
    import webbrowser

    return webbrowser.open(file.absolute().as_uri())


def html(run: RecordedRun) -> str:
    """Render the page. Every value is escaped; the content security policy allows our own style and script alone."""
    from testbay import pages

    page, style, script = templates()
    cases = _cases(run.ended("failed"), 0)
    return page.render(
        run=run,
        cases=cases,
        flaky=_cases(run.flaky, len(cases)),
        rows=sorted(run.tests, key=lambda test: test.outcome != "failed")[:_ROWS],
        startup=timeline.startup(run),
        timeline=timeline.whole_run(run),
        shards=timeline.shards(run),
        slowest=timeline.slowest(run),
        version=metadata.version("testbay"),
        policy=pages.policy(style.render(), script.render()),
    )


def templates() -> "list[jinja2.Template]":
    """Compile the page, its style and its script; the second call finds them compiled."""
    from testbay import pages

    environment = pages.environment(_HERE)
    used = (wording.duration, wording.covered, wording.plural)
    environment.filters |= {filter_.__name__: filter_ for filter_ in used} | {"ranges": wording.line_ranges}
    return [environment.get_template(name) for name in ("page.html", "page.css", "page.js")]


def _cases(tests: list[Test], known: int) -> list[Case]:
    """Make cases of the first hundred tests; those beyond 8 million characters in all lose their evidence."""
    room = _EVIDENCE_CHARACTERS
    cases = []
    for number, test in enumerate(tests[:_ARTICLES], known + 1):
        attempts = test.failures
        room -= sum(len(a.trace) + sum(len(text) for _, text in a.sections) for a in attempts)
        if room < 0:
            attempts = tuple(a.model_copy(update={"trace": "", "sections": ()}) for a in attempts)
        cases.append(Case(number=number, test=test, attempts=attempts, left_out=room < 0))
    return cases
