"""The page: a log's text is text, whatever it is, and nothing else is loaded or run."""

from html.parser import HTMLParser

import pytest
from harness.instance import Instance, Make
from harness.logfiles import LogFolder

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><iframe src=//evil.invalid>",
    "javascript:alert(1) ]]> <!-- {{ 7*7 }} {% raw %}",
    "\u202egnp.exe \u200b zero width",
]


class Tags(HTMLParser):
    """The tags of a page, and its whole text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.events: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "action", "srcdoc"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(instance: Instance, query: str = "") -> Tags:
    answer = instance.client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    tags = Tags()
    tags.feed(answer.text)
    return tags


@pytest.fixture(scope="module")
def hostile(module_monitor: Instance, module_logs: LogFolder) -> Instance:
    """A monitor whose logs were written by an enemy."""
    for number, text in enumerate(HOSTILE):
        module_logs.write(f"ERROR handler{number} failed: {text}\n", "evil<b>.log")
    module_logs.fail(1, where="pay")
    module_monitor.scan()
    return module_monitor


def test_hostile_lines_are_text(hostile: Instance) -> None:
    """No tag, attribute or template of a log reaches the page; its letters do."""
    page = parsed(hostile)

    assert page.tags & {"script", "img", "iframe", "b", "object", "link"} <= {"link"}
    assert (page.events, "<script>alert(1)</script>" in page.text, "{{ 7*7 }}" in page.text) == ([], True, True)


def test_characters_that_turn_the_text_around_are_shown(hostile: Instance) -> None:
    """A right-to-left override or a zero-width space is visible as a number."""
    text = parsed(hostile).text

    assert ("\\u202e" in text, "\u202e" in text, "\u200b" in text) == (True, False, False)


def test_the_browser_is_told_to_load_nothing(hostile: Instance) -> None:
    """The policy allows our own style, by its hash, and nothing else."""
    headers = hostile.client.get("/").headers

    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert (headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"]) == (
        "nosniff",
        "no-referrer",
        "no-store",
    )


def test_filters_of_the_page(hostile: Instance) -> None:
    """The form's fields are the API's filters, and stay filled in."""
    page = hostile.client.get("/?words=handler1&order=events").text

    assert ("handler1 failed" in page, "handler2 failed" in page) == (True, False)
    assert 'value="handler1"' in page


@pytest.mark.parametrize(
    "query", ["?severity=&category=&state=&service=&words=&order=new", "?limit=1", "?limit=1&offset=2"]
)
def test_every_page_opens(hostile: Instance, query: str) -> None:
    """Also as the form sends it, with fields left empty, and on a page in the middle."""
    assert "article" in parsed(hostile, query).tags


def test_the_page_without_its_slash(hostile: Instance) -> None:
    """`/error-monitor` leads to `/error-monitor/`."""
    assert hostile.client.get(hostile.url).status_code == 307


def test_problems_and_gaps_are_on_the_page(monitor: Make, logs: LogFolder) -> None:
    """A source that fails and lines that were lost are in sight, not only in the API."""
    one = monitor(LOKI_ENABLED="true", LOKI_URL="http://127.0.0.1:9")
    logs.fail(2)
    one.scan()
    (logs.path / "shop.log").unlink()
    one.scan()

    text = parsed(one).text
    assert ("failing" in text, "Loki gives no whole answer" in text, "shop.log was deleted" in text) == (True,) * 3


def test_nothing_found_yet(monitor: Make) -> None:
    """An empty page says so."""
    one = monitor()
    one.scan()

    assert "Nothing was found so far." in parsed(one).text
