"""The run report in a real Chromium, as people open it: from the disk, in light and dark, on a phone, by keyboard."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from tests.samples.records import LOG, STARTED_S, attempt, failed, record, write
from tests.system.fakes.browser import VIEWS, Browser

from testbay.harness.run import report
from testbay.harness.run.report import runfile

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]  # one worker: one fixture
HOSTILE = "\x1b[31m</pre></script><script>document.title = 'owned'</script><img src=http://127.0.0.1:1/x onerror=a()>"


def shown(browser: Browser) -> list[str]:
    """The names in the table of tests that are not filtered out."""
    code = "return [...document.querySelectorAll('#rows .name')].filter((e) => e.checkVisibility())"
    return list(browser.js(code + ".map((e) => e.textContent)"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which everything happened, some of it hostile."""
    tests = [attempt(f"t/test_a.py::test_{n}", start=STARTED_S + 1 + n / 4, worker=f"gw{n % 2}") for n in range(20)]
    tests[3] |= {"duration_s": 1.5}
    tests.append(failed("t/test_b.py::test_job[a/ü]", start=STARTED_S + 7))
    tests.append(failed(f"t/test_b.py::{HOSTILE}", trace=HOSTILE, sections=[[HOSTILE, HOSTILE + "x" * 3000]]))
    tests.append(attempt("t/test_c.py::test_gpu", "skipped", reason="no GPU"))
    tests += [attempt("t/test_c.py::test_slow", "rerun", error="TimeoutError"), attempt("t/test_c.py::test_slow")]
    shards = [{"shard": "1/2", "duration_s": 4}, {"shard": "2/2", "duration_s": 5}]
    content = record(*tests, shards=shards, planned=["t/test_z.py::test_never"], error={"what": "it broke", "why": "?"})
    folder = write(tmp_path_factory.mktemp("run"), content, {"src/shop/app.py": [3, 4, 9], "src/shop/db.py": []})
    report.write(runfile.read(folder), folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_opens_cleanly_everywhere(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """No message on the console, nothing asked for but the file, nothing to scroll sideways; pictures are kept."""
    browser.open(page, width, scheme)
    browser.shoot(page.with_name(f"report-{scheme}-{width}.png"))

    assert browser.driver.get_log("browser") == []
    assert [url for url in browser.asked_for() if not url.startswith("data:image/svg+xml,")] == [page.as_uri()]
    assert browser.js("return document.documentElement.scrollWidth") == width
    assert browser.driver.title == "✗ shop: 2 of 24 tests failed"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_can_be_read_by_everybody(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """Contrast, names of controls, order of headings, landmarks, ids, what a keyboard reaches: with all opened."""
    browser.open(page, width, scheme)

    audit = browser.audit()

    assert audit["findings"] == []
    assert audit["texts"] > 100


def test_the_audit_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    """A law that never says no is none."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='background:#fff'><h3 id=a>x</h3><p id=a style='color:#888'>pale</p><input><svg></svg>"
    )
    browser.open(page)

    assert [finding.split(":")[0] for finding in browser.audit()["findings"]] == [
        "no language",
        "no title",
        "landmark main",
        "heading",
        "control without a name",
        "picture without a name",
        "id twice",
        "contrast",
    ]


def test_a_failing_tests_log_opens(browser: Browser, page: Path) -> None:
    """Folded at first, it is there after a click, or a key."""
    browser.open(page)
    summary = next(one for one in browser.all("#case-1 summary") if one.text.startswith("service log"))
    before = LOG.strip() in browser.driver.find_element(By.ID, "case-1").text
    summary.send_keys(Keys.ENTER)

    assert (before, LOG.strip() in browser.driver.find_element(By.ID, "case-1").text) == (False, True)


def test_tests_are_filtered_and_ordered(browser: Browser, page: Path) -> None:
    """By outcome, by text, by duration, slowest first; and what is shown is said."""
    browser.open(page)
    browser.driver.find_element(By.CSS_SELECTOR, "[value=failed]").click()
    assert shown(browser)[0] == "test_job[a/ü]"
    assert browser.driver.find_element(By.ID, "shown").text == "2 of 24 shown"
    browser.driver.find_element(By.CSS_SELECTOR, "[value=flaky]").click()
    assert shown(browser) == ["test_slow"]
    browser.driver.find_element(By.CSS_SELECTOR, "[value=all]").click()
    browser.driver.find_element(By.ID, "text").send_keys("NO GPU")
    assert shown(browser) == ["test_gpu"]
    browser.driver.find_element(By.ID, "text").clear()
    Select(browser.driver.find_element(By.ID, "least")).select_by_value("1")
    assert shown(browser) == ["test_3"]


def test_the_slowest_come_first_when_asked(browser: Browser, page: Path) -> None:
    """And back again."""
    browser.open(page)
    order = Select(browser.driver.find_element(By.ID, "order"))
    order.select_by_value("seconds")
    slowest = shown(browser)[0]
    order.select_by_value("number")

    assert (slowest, shown(browser)[0]) == ("test_3", "test_job[a/ü]")


def test_everything_is_reached_by_keyboard(browser: Browser, page: Path) -> None:
    """Tab visits every link, fold, log and filter that is shown, and shows where it is."""
    browser.open(page)
    wanted = browser.js(
        "const seen = (e) => e.checkVisibility() && !(e.type === 'radio' && !e.checked);"
        "return [...document.querySelectorAll('a, summary, input, select, details[open] pre')].filter(seen).length"
    )
    seen = set()
    for _ in range(wanted):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.add(browser.driver.switch_to.active_element.id)
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")

    assert (len(seen), outline) == (wanted, "solid")


def test_it_says_everything_without_a_script(browser: Browser, page: Path) -> None:
    """Where scripts are off there is no filter that does nothing, and every test is shown."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(page)
        filters, rows = browser.all("#filters"), browser.all("#rows tr")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    assert (filters, len(rows)) == ([], 24)


def test_five_thousand_tests_are_one_page(browser: Browser, tmp_path: Path) -> None:
    """It opens, finds one of them, and scrolls nowhere sideways."""
    tests = [attempt(f"t/test_{n % 50}.py::test_{n}", start=STARTED_S + 1 + n / 700) for n in range(5000)]
    folder = write(tmp_path, record(*tests))
    report.write(runfile.read(folder), folder / "report.html")
    browser.open(folder / "report.html", 360)
    browser.driver.find_element(By.ID, "text").send_keys("::test_4321")

    assert shown(browser) == ["test_4321"]
    assert browser.js("return document.documentElement.scrollWidth") == 360
    assert (folder / "report.html").stat().st_size < 5_000_000
