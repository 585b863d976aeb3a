"""The error monitor's page in a real Chromium: served by the service itself, with hostile logs, for everybody."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from tests.served import await_answer
from tests.system.conftest import REPOSITORY
from tests.system.fakes.browser import Browser

from testbay.ports import hold

pytestmark = pytest.mark.browser
TOKEN = "only-for-tests-0123456789"
HOSTILE = "</title></pre><script>document.title='owned'</script><img src=http://127.0.0.1:1/x onerror=alert(1)>"
VIEWS = [(1280, "light"), (1280, "dark"), (320, "light"), (320, "dark")]


class Address:
    """What a Browser opens, in place of a file."""

    def __init__(self, url: str) -> None:
        self.url = url

    def as_uri(self) -> str:
        return self.url


def log(folder: Path) -> None:
    """Errors of every sort, one of them an enemy's, and one long word; the service has a long name, too."""
    lines = [
        f"ERROR {HOSTILE}",
        "CRITICAL no space left on device",
        f"ERROR {'x' * 3000}",
        "ERROR charging the card failed",
    ]
    trace = 'Traceback (most recent call last):\n  File "/srv/shop/pay.py", line 7, in pay\n    pay()\nKeyError: 1\n'
    (folder / f"{30 * 'shop-'}api.log").write_text("\n".join(lines) + "\n" + trace * 3, encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The service on a real database, after its first scan."""
    folder = tmp_path_factory.mktemp("monitor")
    log(folder)
    port, lock = hold(18600, fixed=False, name="error-monitor")
    argv = [sys.executable, "-m", "testbay", "exec", "error_monitor", "--"]
    argv += [sys.executable, "-m", "error_monitor", "serve", "--port", str(port)]
    env = {"PATH": "/usr/bin:/bin", "TESTBAY_ENGINE": "embedded", "TESTBAY_CACHE_DIR": str(folder / "cache")}
    env |= {"LOG_FILES": f"{folder}/*.log", "ERROR_MONITOR_TOKEN": TOKEN, "ERROR_MONITOR_SETTLE_S": "0"}
    said = folder / "serve.out"
    with lock, said.open("wb") as output:
        child = subprocess.Popen(argv, cwd=REPOSITORY, env=env, stdout=output, stderr=output)
        try:
            await_answer(f"http://127.0.0.1:{port}/error-monitor/health", child, said)
            scan(port)
            yield Address(f"http://anyone:{TOKEN}@127.0.0.1:{port}/error-monitor/")
        finally:
            child.terminate()
            child.wait(30)


def scan(port: int) -> None:
    """Have everything read."""
    import httpx

    url, headers = f"http://127.0.0.1:{port}/error-monitor", {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(200):
        if httpx.post(f"{url}/monitor/scan", headers=headers, timeout=30).status_code == 200:
            return
    raise AssertionError("the monitor never scanned")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_opens_cleanly_everywhere(browser: Browser, page: Any, width: int, scheme: str) -> None:
    """Nothing on the console, nothing to scroll sideways, and nothing of a log became a tag or was obeyed."""
    browser.open(page, width, scheme)

    assert browser.driver.get_log("browser") == []
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js("return document.querySelectorAll('script, img, iframe').length") == 0
    assert browser.driver.title == "4 error patterns · default"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_page_can_be_read_by_everybody(browser: Browser, page: Any, width: int, scheme: str) -> None:
    """Contrast, names, headings, landmarks, ids, with everything unfolded."""
    browser.open(page, width, scheme)

    audit = browser.audit()

    assert audit["findings"] == []
    assert audit["texts"] > 40


def test_hostile_lines_are_shown_as_text(browser: Browser, page: Any) -> None:
    """The enemy's line can be read, letter by letter."""
    browser.open(page)

    text = browser.js("return document.querySelector('main').textContent")

    assert "<script>document.title='owned'</script>" in text


def test_everything_by_keyboard(browser: Browser, page: Any) -> None:
    """Tab reaches the filters and the details; Enter opens them."""
    browser.open(page)
    reached: set[str] = set()
    for _ in range(12):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(browser.js("return document.activeElement.tagName"))
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)

    assert {"SELECT", "INPUT", "BUTTON", "SUMMARY"} <= reached


def test_filters_work_without_a_script(browser: Browser, page: Any) -> None:
    """The form alone narrows the list down."""
    browser.open(Address(f"{page.url}?severity=critical"))  # type: ignore[arg-type]  # opened like a file

    assert len(browser.all("article")) == 1
