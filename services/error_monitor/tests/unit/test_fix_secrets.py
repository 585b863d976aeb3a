"""Secrets that are written in the sources: the model is not shown them, and a fix keeps them."""

from pathlib import Path

import pytest
from harness import shop

from error_monitor.fixes import rails
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.records import Answer, Edit, RefusedError
from error_monitor.settings import Settings

CANARY = "canary-hunter2-0123456789"
PATH = "src/shop/orders.py"
HEAD = f'DB_PASSWORD: str = "{CANARY}"\nTOKENS = {{"api_key": "{CANARY}"}}\ntoken = shop.token\n'
KEY = '"""-----BEGIN RSA PRIVATE KEY-----\n' + "QUJD" * 16 + '\n-----END RSA PRIVATE KEY-----\n"""\n'
SETTINGS = Settings.from_env(shop.SETTINGS).fixes


def checkout(folder: Path, head: str) -> Checkout:
    """The shop with something above its orders, and a file of settings."""
    for name, text in {PATH: head + shop.ORDERS, "deploy/settings.ini": f"password = {CANARY}\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Checkout(folder, "0" * 40)


def submitted(base: Checkout, before: str, after: str) -> Answer:
    """The answer of a model that copies what it was shown, with one change, as the rails get it."""
    content = (base.shown(PATH) or "").replace(before, after)
    test = Edit(path="tests/test_new.py", content=shop.NEW_TEST)
    given = Answer(cause="c", confidence="high", test=test, patch=(Edit(path=PATH, content=content),))
    return rails.compared(given, base)


def test_a_tool_shows_no_secret_of_a_source(tmp_path: Path) -> None:
    """Code and settings are shown without the values, expressions stay, and a search does not find a value."""
    base = checkout(tmp_path, HEAD)
    shown = base.read(PATH) + base.read("deploy/settings.ini") + base.search("password") + base.search(CANARY)
    assert CANARY not in shown
    assert shown.count("[redacted]") >= 3
    assert "token = shop.token" in shown


def test_a_patch_keeps_the_secrets_that_the_model_was_not_shown(tmp_path: Path) -> None:
    """Each line that was shown without its value gets it back."""
    answer = submitted(checkout(tmp_path, HEAD), 'line["count"]', 'line.get("count", 1)')
    assert answer.patch[0].content == HEAD + shop.FIXED


@pytest.mark.parametrize(("head", "before", "after"), [
    (HEAD, "DB_PASSWORD: str", "PASSWORD: str"),
    (f"KEY = {KEY}", 'line["count"]', 'line.get("count", 1)'),
])  # fmt: skip
def test_a_patch_that_would_lose_a_secret_is_refused(tmp_path: Path, head: str, before: str, after: str) -> None:
    """A changed line, and a key of several lines, cannot get their values back."""
    base = checkout(tmp_path, head)
    with pytest.raises(RefusedError, match=r"would lose a secret of the source") as caught:
        rails.check(submitted(base, before, after), base, SETTINGS, "KeyError")
    assert caught.value.rung == 4
