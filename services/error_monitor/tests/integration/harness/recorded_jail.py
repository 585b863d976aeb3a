"""A jail that runs nothing: it hands out what runs of the shop left, for tests of what comes before and after them."""

import io
import json
import tarfile
from collections.abc import Awaitable, Callable

from error_monitor.fixes.jail import Ended, Order

_RED = """Traceback (most recent call last):
  File "/jail/checkout/tests/test_lines_without_count.py", line 5, in test_a_line
    assert total({{"lines": [{{"price": 250}}]}}) == 250
  File "/jail/checkout/src/shop/orders.py", line 6, in {function}
    return sum(line["price"] * line["count"] for line in order["lines"])
KeyError: 'count'"""
OLD, NEW = "tests/test_orders.py::test_total", "tests/test_lines_without_count.py::test_a_line"
FUNCTIONS = ("total", "shipping")
"""Where the recorded fault is raised: each is a pattern."""


class RecordedJail:
    """Red without the patch and green with it; `is_broken` makes the whole suite red with it, too."""

    name = "recorded"

    def __init__(self, step: Callable[[], Awaitable[None]], *, is_broken: bool = False) -> None:
        self._step = step
        self._is_broken = is_broken

    async def run(self, order: Order) -> Ended:
        """The results of one run."""
        await self._step()
        has_test = any(edit.path.startswith("tests/") for edit in order.edits)
        has_patch = any(edit.path.startswith("src/") for edit in order.edits)
        is_whole = not order.argv[-1].startswith("tests/")
        tests = {OLD: "failed" if self._is_broken and has_patch else "passed"} if is_whole else {}
        tests |= {NEW: "passed" if has_patch else "failed"} if has_test else {}
        files = {
            "exit": str(int("failed" in tests.values())),
            "tests.jsonl": "".join(json.dumps({"id": name, "outcome": how}) + "\n" for name, how in tests.items()),
            "coverage.json": json.dumps({"files": {"src/shop/orders.py": {"executed_lines": [*range(1, 12)]}}}),
        }
        failure = f"<failure>{_RED.format(function=FUNCTIONS[0])}</failure>"
        cases = [f"<testcase>{failure if how == 'failed' else ''}</testcase>" for how in tests.values()]
        files["junit.xml"] = f"<testsuites>{''.join(cases)}</testsuites>"
        if has_test and not has_patch:
            files["logs/shop.log"] = "\n".join(_RED.format(function=one) for one in FUNCTIONS)
        return Ended(results=_tar(files), seconds=0.1)


def _tar(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()
