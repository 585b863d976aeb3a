"""The rails below the model: each kind of answer that may not become a change, with the reason that is shown."""

import pytest

from error_monitor.fixes import rails
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import Answer, Edit, RefusedError
from error_monitor.settings import Settings

SOURCE = """import json


def total(order):
    return sum(line["price"] * line["count"] for line in order["lines"])


def load(text):
    return total(json.loads(text))
"""
OLD_TEST = "from shop.orders import total\n\n\ndef test_total():\n    assert total({'lines': []}) == 0\n"
TEST = "from shop.orders import total\n\n\ndef test_new():\n    assert total({'lines': [{'price': 2}]}) == 2\n"
GOOD = SOURCE.replace('line["count"]', 'line.get("count", 1)')
LAZY = SOURCE.replace(
    '    return sum(line["price"] * line["count"] for line in order["lines"])\n',
    '    try:\n        return sum(line["price"] * line["count"] for line in order["lines"])\n'
    "    except {}:\n        return 0\n",
)
NEW = "tests/test_new.py"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    root = tmp_path_factory.mktemp("checkout")
    files = {"src/shop/orders.py": SOURCE, "tests/test_orders.py": OLD_TEST, "tests/conftest.py": "", ".env": "A=1"}
    for name, content in {**files, "migrations/0001.py": "x = 1\n", ".github/workflows/ci.yml": "on: push\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "src/shop/link").symlink_to("/etc")
    return Checkout(root, "0" * 40)


@pytest.fixture(scope="module")
def settings() -> FixSettings:
    return Settings.from_env({"ERROR_MONITOR_FIX_SERVICE": "shop"}).fixes


def judged(checkout: Checkout, settings: FixSettings, test: tuple[str, str], **patch: str) -> str:
    """The reason of the refusal, or nothing."""
    edits = tuple(
        Edit(path=path.replace("__", "/").replace("_py", ".py"), content=text) for path, text in patch.items()
    )
    answer = Answer(cause="c", confidence="high", test=Edit(path=test[0], content=test[1]), patch=edits)
    try:
        rails.check(answer, checkout, settings, "KeyError")
    except RefusedError as exc:
        return exc.reason if exc.rung == 4 else f"rung {exc.rung}"
    return ""


def test_a_plain_fix_passes(checkout: Checkout, settings: FixSettings) -> None:
    """A new test and a changed source are what a fix is."""
    assert judged(checkout, settings, (NEW, TEST), src__shop__orders_py=GOOD) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../out.py", "src/../../out.py", "src/shop/./orders.py", "src//shop.py", "src/shop/link/x.py",
        ".github/workflows/ci.yml", "pyproject.toml", "requirements.lock", "migrations/0001.py", ".env",
        "tests/conftest.py",
        "src/shop/secrets.py", "scripts/run.py", "setup.py", "src\\shop\\orders.py", "src/shop/orders.py\n", "src/shop",
        "src/shop/other.py", "sitecustomize.py", "tests/test_orders.py", "Makefile", "src/shop/\u202eorders.py", "",
    ],
)  # fmt: skip
def test_a_path_that_is_not_a_source_is_refused(checkout: Checkout, settings: FixSettings, path: str) -> None:
    """Outside, through a link, of another base, or of what decides how tests run: none of it is written."""
    answer = Answer(
        cause="c", confidence="high", test=Edit(path=NEW, content=TEST), patch=(Edit(path=path, content=GOOD),)
    )
    with pytest.raises(RefusedError) as refused:
        rails.check(answer, checkout, settings, "KeyError")

    assert refused.value.rung == 4


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(LAZY.format("Exception"), "a new handler takes everything", id="everything"),
        pytest.param(LAZY.replace(" {}", ""), "a new handler takes everything", id="bare"),
        pytest.param(LAZY.format("KeyError"), "swallows KeyError", id="the-type"),
        pytest.param(LAZY.format("(ValueError, LookupError)"), "swallows KeyError", id="a-type-above"),
        pytest.param(SOURCE + "\n\nimport subprocess\n", "uses subprocess", id="process"),
        pytest.param(SOURCE + "\n\nimport os\nX = os.environ['A']\n", "uses environ", id="environment"),
        pytest.param(SOURCE + "\n\nimport os\nX = getattr(os, 'envi' + 'ron')\n", "uses getattr()", id="indirect"),
        pytest.param(SOURCE + "\n\nX = __import__('os')\n", "uses __import__()", id="import"),
        pytest.param(SOURCE + "\n\nX = open('/proc/1/fd/1', 'wb')\n", "uses /proc/", id="results on their way"),
        pytest.param(SOURCE + "\n\nX = ().__class__.__bases__\n", "uses __bases__", id="innards"),
        pytest.param(SOURCE + "\n\nX = 'PYTEST_CURRENT_TEST'\n", "asks whether a test runs", id="test-mode"),
        pytest.param(SOURCE.partition("\n\ndef load")[0] + "\n", "loses load", id="deleted"),
        pytest.param("def f(:\n", "another base", id="syntax"),
        pytest.param("x = 1\n", "another base", id="other-base"),
        pytest.param(SOURCE, "the same as before", id="no-change"),
        pytest.param(GOOD + f"\nKEY = 'sk-ant-{'a' * 30}'\n", "looks like a secret", id="secret"),
        pytest.param(GOOD + "\nX = 1" * 300 + "\n", "more than 200", id="many-lines"),
        pytest.param(GOOD + "#" * 70_000, "larger than 60000 bytes", id="large"),
        pytest.param(
            GOOD + "\nfrom contextlib import suppress\nwith suppress(KeyError):\n    pass\n", "suppresses", id="s"
        ),
    ],
)
def test_a_change_that_hides_or_reaches_out_is_refused(
    checkout: Checkout, settings: FixSettings, source: str, reason: str
) -> None:
    """Compared as syntax trees: names in comments or other spellings change nothing."""
    assert reason in judged(checkout, settings, (NEW, TEST), src__shop__orders_py=source)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("x = 1\n", "no test function", id="none"),
        pytest.param("def test_a():\n    pass\n", "asserts nothing", id="empty"),
        pytest.param("def test_a():\n    assert True\n", "constant", id="constant"),
        pytest.param("import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    assert f() == 1\n", "skips", id="skip"),
        pytest.param("pytestmark = mark.xfail\ndef test_a():\n    assert f()\n", "which tests run", id="xfail"),
        pytest.param("def test_a():\n    assert f()\n    raise KeyError('x')\n", "raises KeyError itself", id="raises"),
        pytest.param(
            "def test_a():\n    try:\n        f()\n    except KeyError:\n        assert 0 == f\n", "hides", id="try"
        ),
        pytest.param("def test_a():\n    assert open('.testbay/x', 'w')\n", "uses .testbay", id="results"),
        pytest.param("import socket\ndef test_a():\n    assert socket.x\n", "uses socket", id="network"),
        pytest.param(
            "def pytest_runtest_call(item):\n    item\ndef test_a():\n    assert f()\n", "how pytest", id="hook"
        ),
        pytest.param("def test_a():\n    assert eval('1') == 1\n", "uses eval()", id="eval"),
    ],
)
def test_a_test_that_cannot_be_believed_is_refused(
    checkout: Checkout, settings: FixSettings, text: str, reason: str
) -> None:
    """A reproducing test asserts, and neither skips, catches nor raises by itself."""
    found = judged(checkout, settings, (NEW, text), src__shop__orders_py=GOOD)

    assert found
    assert reason in found or reason == "asserts"


@pytest.mark.parametrize("name", ["tests/test_orders.py", "src/test_new.py", "tests/new.py", "test_new.py"])
def test_a_test_is_a_new_file_among_the_tests(checkout: Checkout, settings: FixSettings, name: str) -> None:
    """An existing test is never replaced."""
    assert judged(checkout, settings, (name, TEST), src__shop__orders_py=GOOD) != ""


def test_half_an_answer_is_none(checkout: Checkout, settings: FixSettings) -> None:
    """All or nothing: a test without a patch is refused, and so is one bad file among good ones."""
    without = judged(checkout, settings, (NEW, TEST))
    mixed = judged(checkout, settings, (NEW, TEST), src__shop__orders_py=GOOD, src__shop__other_py=GOOD)

    assert (without, "not in the commit" in mixed) == ("the answer has no test, or no change: a fix needs both", True)
