"""Answers that cheat: each way to look like a fix without being one, refused by the rails with its reason."""

import asyncio
from pathlib import Path

import pytest
from harness import shop
from harness.cheats import GOOD, NEW, OLD, SOURCE, SOURCES, TEST, TESTS

from error_monitor.fixes import checkout as checkouts
from error_monitor.fixes import rails
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import Answer, Edit, RefusedError
from error_monitor.settings import Settings


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A service with one source and one test."""
    root = tmp_path_factory.mktemp("checkout")
    for name, content in {"src/shop/orders.py": SOURCE, OLD: TEST}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return Checkout(root, "0" * 40)


@pytest.fixture(scope="module")
def settings() -> FixSettings:
    """What the monitor is told of it."""
    return Settings.from_env({"ERROR_MONITOR_FIX_SERVICE": "shop"}).fixes


def judged(checkout: Checkout, settings: FixSettings, test: str = TEST, source: str = GOOD, path: str = NEW) -> str:
    """The reason of the refusal, or nothing."""
    answer = Answer(
        cause="c",
        confidence="high",
        test=Edit(path=path, content=test),
        patch=(Edit(path="src/shop/orders.py", content=source),),
    )
    try:
        rails.check(answer, checkout, settings, "KeyError")
    except RefusedError as exc:
        return exc.reason if exc.rung == 4 else f"rung {exc.rung}"
    return ""


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_is_green_for_another_reason_is_refused(
    checkout: Checkout, settings: FixSettings, name: str
) -> None:
    """Whatever decides, replaces, skips or compares with everything."""
    text, reason = TESTS[name]
    said = judged(checkout, settings, test=text)

    assert said
    assert reason in said


@pytest.mark.parametrize("name", SOURCES)
def test_a_change_that_keeps_an_error_from_being_seen_is_refused(
    checkout: Checkout, settings: FixSettings, name: str
) -> None:
    """Swallowed without a handler, logged as less, no longer raised, or another meaning under an old name."""
    source, reason = SOURCES[name]

    assert reason in judged(checkout, settings, source=source)


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_ORDERS.py", "tests/test_orders.py/test_new.py", "tests/Conftest.py", "TESTS/test_new.py",
        "tests/./test_new.py", "tests/test_ne\u0301w.py", "tests/test_new.py\0.txt", "tests/test_new.py ",
        "C:/tests/test_new.py", "tests\\test_new.py", "tests/test_new.pth", "tests/__init__.py", "tests/test_new.PY",
        "tests/.git/test_new.py", "tests/../tests/test_new.py", "./tests/test_new.py", "tests/sitecustomize.py",
        "tests/pytest.ini", "tests/test_new.py/", "tests/migrations/test_new.py", "tests/test_\uff4eew.py",
    ],
)  # fmt: skip
def test_a_path_with_two_meanings_is_refused(checkout: Checkout, settings: FixSettings, path: str) -> None:
    """Where case does not count, a file becomes a folder, or another system reads the name otherwise."""
    assert judged(checkout, settings, path=path) != ""


def test_the_honest_answer_passes(checkout: Checkout, settings: FixSettings) -> None:
    """So each refusal above is for the one thing that it changes."""
    assert judged(checkout, settings) == ""


def test_every_cheat_is_refused_in_a_checkout_of_git(settings: FixSettings, tmp_path: Path) -> None:
    """Each for a rail, also after the answer was compared with the commit: none reaches the proof."""
    shop.clone(tmp_path / "clone")
    commit = shop.commit(tmp_path / "clone", "src/shop/orders.py", SOURCE)
    cheats = [(name, text, GOOD) for name, (text, _) in TESTS.items()]
    cheats += [(name, TEST, text) for name, (text, _) in SOURCES.items()]
    rungs = []
    with checkouts.unpacked(asyncio.run(checkouts.archived(str(tmp_path / "clone"), commit)), commit) as base:
        for name, test, source in cheats:
            patch = (Edit(path="src/shop/orders.py", content=source),)
            answer = Answer(cause="c", confidence="high", test=Edit(path=NEW, content=test), patch=patch)
            with pytest.raises(RefusedError) as refused:
                rails.check(rails.compared(answer, base), base, settings, "KeyError")
            rungs.append((name, refused.value.rung))

    assert rungs == [(name, 4) for name, *_ in cheats]
