"""A real Chromium for the tests of our pages."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By

_AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
VIEWS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]


class Browser:
    """A Chromium with nobody's profile, and what it logged."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver: Any = webdriver.Chrome(options=options, service=service)

    def open(self, page: Path, width: int = 1280, scheme: str = "light") -> None:
        """A page, at this width and in this colour scheme."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())

    def at(self, moment: datetime) -> AbstractContextManager[None]:
        """Pages that are opened meanwhile live at this moment; `later(hours)` in them moves it."""
        start = f"let now = {moment.timestamp() * 1000};"
        return self._with_script(f"{start} Date.now = () => now; window.later = (hours) => {{ now += hours * 36e5 }}")

    def hastened(self, times: int) -> AbstractContextManager[None]:
        """Pages that are opened meanwhile have a clock and timers that are so much faster."""
        clock = f"const real = Date.now, start = real(); Date.now = () => start + (real() - start) * {times};"
        timers = f"const wait = setInterval; window.setInterval = (call, ms) => wait(call, ms / {times});"
        return self._with_script(f"{clock} {timers}")

    @contextmanager
    def _with_script(self, script: str) -> Iterator[None]:
        source = {"source": f"{{ {script} }}"}
        made = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)

    def asked_for(self) -> list[str]:
        """Every address that was requested since the page was opened."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def shoot(self, file: Path) -> None:
        """The whole page as a picture."""
        size = self.js("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 8000), "scale": 1}
        ask = {"captureBeyondViewport": True, "clip": clip}
        file.write_bytes(base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", ask)["data"]))

    def js(self, code: str) -> Any:
        return self.driver.execute_script(code)

    def audit(self) -> Any:
        """What somebody could not read or reach in the open page, all of it unfolded; and how many texts it has."""
        self.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        return self.js(_AUDIT)

    def all(self, selector: str) -> list[Any]:
        """Elements that can be seen."""
        return [element for element in self.driver.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]
