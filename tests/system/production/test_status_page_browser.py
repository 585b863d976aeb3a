"""The status page in a real Chromium: on a phone, at night, by keyboard, and with a hostile history."""

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from tests.samples.histories import NOW, every_six_hours, run
from tests.system.fakes.browser import VIEWS, Browser
from tests.system.fakes.watched import soon

from testbay.production import statuspage
from testbay.production.history.entries import Entry, History, merge

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]  # one worker: one fixture
HOSTILE = "</title></style><script>document.title = 'owned'</script><img src=http://127.0.0.1:1/x onerror=a()>"
BAD: list[tuple[float, Any]] = [(24 * 40, "fail"), (24 * 30, "stale"), (24 * 12, "error"), (30, "fail"), (1, "fail")]

COLOURS = "return [...document.querySelectorAll('.icon')].map((one) => getComputedStyle(one).fill)"
CHECKS = COLOURS.replace(".icon", ".check .icon")
SOFT = "return getComputedStyle(document.querySelector('.soft')).color"


def everything() -> list[Entry]:
    """A year of runs in which everything happened: a long one, a young one and a hostile one."""
    times = {"control": 17.0, "health": 60.0}
    good = every_six_hours(380, until=2, control="pass", health="pass", stream="pass", ms=times, control_ms=17.0)
    bad = [run(at + 0.5, control="pass", health=v, stream=v, run_url="https://x.invalid/1") for at, v in BAD]
    names: dict[str, Any] = dict.fromkeys(("service", "target", "commit"), HOSTILE)
    names |= {HOSTILE: "fail"}
    hostile = run(2, **names, run_url=f"javascript:{HOSTILE}")
    young = every_six_hours(5, target="staging", until=40, health="pass")
    return list(merge(good, bad, young, [hostile]))


def make(folder: Path, *runs: Entry, title: str | None = None) -> Path:
    statuspage.make(History(entries=runs), NOW, folder, title)
    return folder / "index.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("site"), *everything(), title=HOSTILE)


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_opens_cleanly_everywhere(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """No message on the console, nothing asked for but the file, nothing to scroll sideways, nothing hostile obeyed."""
    browser.open(page, width, scheme)
    browser.shoot(page.with_name(f"status-{scheme}-{width}.png"))

    assert browser.driver.get_log("browser") == []
    assert [url for url in browser.asked_for() if not url.startswith("data:image/svg+xml,")] == [page.as_uri()]
    assert browser.js("return document.documentElement.scrollWidth") == width
    assert browser.js("return document.querySelectorAll('script, img, style:not(head style)').length") == 1  # our own
    assert browser.driver.title == f"✗ {HOSTILE}: 3 of 3 targets have problems"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_can_be_read_by_everybody(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """Contrast, names of pictures, order of headings, landmarks, ids: with all opened."""
    browser.open(page, width, scheme)

    audit = browser.audit()

    assert audit["findings"] == []
    assert audit["texts"] > 100


def test_a_state_is_said_and_has_a_shape(browser: Browser, page: Path) -> None:
    """Colour is never the only sign: cells of different meaning differ in height or in a mark above them."""
    browser.open(page)
    code = (
        "return [...document.querySelectorAll('.legend li:nth-child(-n+5)')].map((e) => ["
        "e.querySelector('rect').getAttribute('height'), e.querySelectorAll('circle').length, e.textContent.trim()])"
    )

    shapes = browser.js(code)

    assert len({tuple(shape[:2]) for shape in shapes}) == len({shape[2] for shape in shapes}) == 5


def test_only_addresses_of_the_web_are_links(browser: Browser, page: Path) -> None:
    """A run's own page is linked, with its host in sight; a script is not."""
    browser.open(page)
    links = browser.js("return [...document.querySelectorAll('main a')].map((a) => [a.href, a.textContent])")

    assert {tuple(link) for link in links} == {("https://x.invalid/1", "log on x.invalid")}


def test_an_incident_names_all_of_its_checks_on_demand(browser: Browser, tmp_path: Path) -> None:
    """Folded at first, opened by a key, without a script."""
    every: dict[str, Any] = {f"check-{number}": "fail" for number in range(5)}
    browser.open(make(tmp_path / "site", run(1, **every)))
    [summary] = browser.all(".card summary")
    before = len(browser.all(".card li"))
    summary.send_keys(Keys.ENTER)

    assert (before, len(browser.all(".card li"))) == (0, 5)


def test_a_page_that_no_run_renews_turns_grey(browser: Browser, tmp_path: Path) -> None:
    """At the time that it names, without being loaded again: nothing says or shows any more that it is well."""
    with browser.at(NOW):
        browser.open(make(tmp_path / "site", *every_six_hours(3, until=1, health="pass")))
        green, alarms = browser.js(COLOURS), browser.all(".alarm")
        browser.js("later(12)")
        soon(lambda: browser.all(".alarm"))

    then = "No data since 21 Nov 2026, 17:00 UTC"
    assert (alarms, browser.js("return document.querySelector('h1').textContent")) == ([], then)
    assert (browser.driver.title[2:], set(browser.js(COLOURS))) == (f"shop status: {then}", {browser.js(SOFT)})
    assert browser.js(SOFT) not in green


def test_a_failure_stays_red_when_it_is_old(browser: Browser, tmp_path: Path) -> None:
    """Of two targets only the one whose runs stopped is old; what failed there last may fail still."""
    runs = [*every_six_hours(3, until=1, health="pass", docs="fail"), run(1, target="staging", health="pass")]
    with browser.at(NOW):
        browser.open(make(tmp_path / "site", *runs))
        before = browser.js(CHECKS)
        browser.js("later(12)")
        soon(lambda: browser.all(".alarm"))

    changed = [one != other for one, other in zip(before, browser.js(CHECKS), strict=True)]
    assert changed == [False, False, True, False]  # all checks, docs, health; health of staging


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_first_page_is_whole(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    """Before anything was asked it is as clean as later."""
    browser.open(make(tmp_path / "site"), width, scheme)

    assert browser.audit()["findings"] == browser.driver.get_log("browser") == []
    assert browser.js("return document.documentElement.scrollWidth") == width


def test_long_names_and_many_checks_stay_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    """Names of 500 letters without a space, thousands of checks: nothing to scroll sideways."""
    every: dict[str, Any] = {f"{number}{'x' * 490}": "fail" for number in range(3000)}
    page = make(tmp_path / "site", run(7, **every), run(1, **every, commit="c" * 500, service="s" * 500))
    browser.open(page, 360)

    assert browser.js("return document.documentElement.scrollWidth") == 360
    assert len(browser.js("return [...document.querySelectorAll('article.check')]")) == 121
    assert page.stat().st_size < 3_000_000
