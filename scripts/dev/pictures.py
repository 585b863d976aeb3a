"""Draw the pictures of the README anew: a failed test in the terminal, the report of its run, a status page.

Usage: make pictures

It needs Chromium (scripts/dev/browser.sh). The pictures show what testbay really printed and wrote; only the project's
folder is called ~/shop in them.
"""

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).resolve().parents[2] / "docs/pictures"
REPOSITORY = PICTURES.parents[1]
sys.path.insert(0, str(REPOSITORY))

from rich.console import Console  # noqa: E402 - the path comes first
from rich.text import Text  # noqa: E402
from tests.samples.histories import NOW, every_six_hours, run  # noqa: E402
from tests.system.fakes.browser import Browser  # noqa: E402

from testbay import process, settings  # noqa: E402
from testbay.production import statuspage  # noqa: E402
from testbay.production.history.entries import History, merge  # noqa: E402

TESTS = """
import psycopg


def sell(database, item):
    try:
        database.execute("UPDATE items SET amount = amount - 1 WHERE name = %s", [item])
    except psycopg.Error:
        return "sold out"
    return "sold"


def test_first_item_is_number_one(postgres):
    assert postgres.execute("INSERT INTO items (name) VALUES ('tea') RETURNING id").fetchone() == (1,)


def test_tea_is_sold(postgres):
    postgres.execute("INSERT INTO items (name) VALUES ('tea')")
    assert sell(postgres, "tea") == "sold"
"""
_COLUMNS = 118
_LINES = 34


def main() -> None:
    """Draw all three."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shown = failed_run(scratch / "shop")
        terminal(shown, PICTURES / "failure.svg")
        browser = Browser(scratch / "profile")
        try:
            photograph(browser, next((scratch / "shop").glob(".testbay/runs/*/report.html")), PICTURES / "report.png")
            with browser.at(NOW):
                photograph(browser, status_page(scratch / "site"), PICTURES / "status-page.png")
        finally:
            browser.driver.quit()


def failed_run(project: Path) -> str:
    """Run a project with a failing test; return what the terminal showed."""
    shutil.copytree(REPOSITORY / "tests/system/project", project)
    shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
    test_file = project / "services/shop/tests/integration/test_shop.py"
    test_file.write_text(TESTS, encoding="utf-8")
    environ = {
        k: v for k, v in settings.environ().items() if not k.startswith(("TESTBAY_", "GITHUB_", "PYTEST_", "CI"))
    }
    environ |= {"TESTBAY_CACHE_DIR": str(project / "cache"), "COLUMNS": str(_COLUMNS), "FORCE_COLOR": "1"}
    argv = [sys.executable, "-m", "testbay", "run", "shop", "--engine", "embedded", "--", "--color=yes", "--no-cov"]
    done = process.run(argv, cwd=project, env=environ, timeout_s=120)
    assert done.code == 1, done.out + done.err
    return done.out.replace(str(project), "~/shop")


def terminal(text: str, file: Path) -> None:
    """Draw the last lines of a terminal."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in text.splitlines()[-_LINES:]:
        console.print(Text.from_ansi(line))
    drawn = console.export_svg(title="testbay run shop", unique_id="testbay")
    file.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL), encoding="utf-8")  # fonts of the web


def status_page(folder: Path) -> Path:
    """Make the page of ninety days with an outage and one that lasts."""
    times = {"control": 17.0, "health": 60.0}
    good = every_six_hours(90, until=2, control="pass", health="pass", login="pass", ms=times, control_ms=17.0)
    bad = [run(at, control="pass", health="pass", login="fail") for at in (24 * 30 + 0.5, 24 * 12 + 0.5, 0.5)]
    statuspage.make(History(entries=tuple(merge(good, bad))), NOW, folder, "Shop")
    return folder / "index.html"


def photograph(browser: Browser, page: Path, file: Path) -> None:
    """Take a picture of a page's beginning, as a laptop shows it."""
    browser.open(page, 1100)
    browser.driver.save_screenshot(str(file))


if __name__ == "__main__":
    main()
