"""A small service of somebody else's with a fault, as a clone; and the answers that a model could give."""

import subprocess
from pathlib import Path
from typing import Any

MANIFEST = """[project]
name = "shop"
version = "1"

[tool.testbay]
service = "shop"
needs = ["postgres"]
tests = "tests"

[tool.pytest.ini_options]
pythonpath = ["src"]
"""
COMPOSE = """services:
  postgres:
    image: postgres:15
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: shop, POSTGRES_DB: shop}
    ports: ["5432:5432"]
"""
ORDERS = '''"""Orders."""


def total(order: dict) -> int:
    """The price of an order in cents."""
    return sum(line["price"] * line["count"] for line in order["lines"])


def shipping(order: dict) -> int:
    """The price of its delivery."""
    return 0 if total(order) >= 5000 else 490
'''
FIXED = ORDERS.replace('line["count"]', 'line.get("count", 1)')
TESTS = """from shop.orders import shipping, total

ORDER = {"lines": [{"price": 250, "count": 2}]}


def test_total():
    assert total(ORDER) == 500


def test_shipping():
    assert shipping(ORDER) == 490
"""
NEW_TEST = """from shop.orders import total


def test_a_line_without_a_count_is_one_piece():
    assert total({"lines": [{"price": 250}]}) == 250
"""
LOG = """2026-11-28 12:00:00,000 CRITICAL shop.api: order failed
Traceback (most recent call last):
  File "/srv/shop/src/shop/api.py", line 12, in post
    return total(order)
  File "/srv/shop/src/shop/orders.py", line 6, in total
    return sum(line["price"] * line["count"] for line in order["lines"])
  File "/srv/shop/src/shop/orders.py", line 6, in <genexpr>
    return sum(line["price"] * line["count"] for line in order["lines"])
KeyError: 'count'
"""


def log(function: str) -> str:
    """The same error in another function, which is another pattern."""
    return LOG.replace("in total", f"in {function}").replace("in <genexpr>", f"in {function}")


SETTINGS = {"ERROR_MONITOR_FIX_SERVICE": "shop", "ERROR_MONITOR_FIX_SCANS": "1", "ERROR_MONITOR_FIX_PAUSE_S": "0.2"}


def clone(folder: Path) -> str:
    """A clone with one commit; its id."""
    files = {
        "pyproject.toml": MANIFEST,
        "docker-compose.test.yml": COMPOSE,
        "src/shop/__init__.py": "",
        "src/shop/orders.py": ORDERS,
    }
    for name, content in {**files, "tests/test_orders.py": TESTS}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    _git(folder, "init", "-q", "-b", "main")
    return commit(folder, "src/shop/orders.py", ORDERS)


def commit(folder: Path, name: str, content: str) -> str:
    """A commit of all that is there, with one file changed; its id."""
    (folder / name).write_text(content, encoding="utf-8")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "Base")
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.invalid", *words]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def answer(**changes: Any) -> dict[str, Any]:
    """The good answer, or with something else in it."""
    good = {
        "cause": "A line of an order may come without a count.",
        "confidence": "high",
        "test": {"path": "tests/test_lines_without_count.py", "content": NEW_TEST},
        "patch": [{"path": "src/shop/orders.py", "content": FIXED}],
    }
    return good | changes
