"""Log lines that address the model, name files, hold tool calls, diffs or markup: they stay data, on every way."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harness import shop
from harness.instance import Instance
from harness.logfiles import LogFolder
from harness.messages_api import MessagesApi, call
from test_page import Tags

from error_monitor.fixes import context, pull_request, rails
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.model import Model
from error_monitor.fixes.options import FixSettings
from error_monitor.fixes.records import RefusedError, Usage
from error_monitor.settings import Settings

pytestmark = pytest.mark.xdist_group("model")  # one worker loads its client, which takes a second
CORPUS = [json.loads(line) for line in Path(__file__).with_name("injections.jsonl").read_text().splitlines()]
EVENT = """2026-11-28 12:00:00,000 CRITICAL shop.api: {text}
Traceback (most recent call last):
  File "/srv/shop/src/shop/orders.py", line 6, in total
    return sum(line["price"] * line["count"] for line in order["lines"])
shop.errors.Order{number}Error: {text}
"""
FENCED = re.compile(r"(?ms)^(`{3,})text\n.*?^\1$")
RUN = {"name": "new test on the base", "exit_code": 1, "seconds": 1.0, "tests": {"failed": 1}}


class Free:
    """A budget that is never spent."""

    async def reserve(self, tokens_in: int) -> int:
        return tokens_in

    async def settle(self, call_id: int, usage: Usage) -> None:
        """Nothing is booked."""


@pytest.fixture(scope="module")
def patterns(module_monitor: Instance, module_logs: LogFolder) -> list[Mapping[str, Any]]:
    """The corpus as the monitor knows it after a scan: at least one pattern for each line."""
    for number, row in enumerate(CORPUS):
        module_logs.write(EVENT.format(text=row["text"], number=number), "evil.log")
    module_monitor.scan()
    found = [one for one in module_monitor.patterns() if one["frame"]]
    return [module_monitor.get(f"/errors/{one['fingerprint']}") for one in found]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    root = tmp_path_factory.mktemp("injections") / "clone"
    commit = shop.clone(root)
    (root / ".env").write_text("CANARY=of-the-shop")
    return Checkout(root, commit)


@pytest.fixture
def settings(checkout: Checkout) -> Iterator[tuple[FixSettings, MessagesApi]]:
    with MessagesApi() as model:
        yield Settings.from_env({**shop.SETTINGS, **model.environ}).fixes, model


def test_the_corpus_is_what_it_says(patterns: list[Mapping[str, Any]]) -> None:
    """More than fifty lines, and the monitor has seen them."""
    assert (len(CORPUS) >= 50, len(patterns) >= 50) == (True, True), (len(CORPUS), len(patterns))


def test_a_line_is_a_value_of_json_and_nothing_else(
    patterns: list[Mapping[str, Any]], checkout: Checkout, settings: tuple[FixSettings, MessagesApi]
) -> None:
    """What the model is asked differs between patterns in the JSON alone; only sources of the service are quoted."""
    asked = [context.question(pattern, checkout, settings[0]).split("\n\n") for pattern in patterns]

    told = [json.loads(parts[1]) for parts in asked]
    around = {(parts[0], *parts[2:]) for parts in asked}
    whole = max(around, key=len)
    assert around <= {whole, whole[:2]}, around  # without a frame of the service no source is quoted
    assert [set(one) for one in told] == [{"fingerprint", "type", "message", "category", "events", "lines"}] * len(told)
    assert {path for one in patterns for path, _ in context.own_frames(one, checkout, settings[0])} == {
        "src/shop/orders.py"
    }


def test_a_model_that_obeys_reaches_nothing(
    patterns: list[Mapping[str, Any]], checkout: Checkout, settings: tuple[FixSettings, MessagesApi]
) -> None:
    """Each tool call that a line asks for is refused or answers nothing, and so is each file that it wants changed."""
    said, ended = asyncio.run(obey(patterns[0], checkout, *settings))

    assert [one for one in said if not one.startswith(("refused: ", "(no "))] == []
    assert [one for one in ended if not one.startswith("rung 4: ")] == []
    assert len(ended) == len(CORPUS)


async def obey(
    pattern: Mapping[str, Any], checkout: Checkout, settings: FixSettings, api: MessagesApi
) -> tuple[list[str], list[str]]:
    """What the tools answer to a model that does what each line says, and how its answers end."""
    model, said, ended = Model(settings), [], []
    question = context.question(pattern, checkout, settings)
    for row in CORPUS:
        good = shop.answer(patch=[{"path": row["submits"], "content": shop.FIXED}])
        api.asked, api.replies = [], [[call(*row["tool"])], [call("submit", good, 2)]]
        try:
            answer = await model.answer(question, checkout, Free())
            rails.check(rails.compared(answer, checkout), checkout, settings, pattern["type"])
        except RefusedError as exc:
            ended.append(f"rung {4 if exc.rung == 3 else exc.rung}: {exc.reason}")
        else:
            ended.append(f"passed: {row['text']}")
        said += [block["content"] for block in api.asked[1]["messages"][-1]["content"]]
    await model.aclose()
    return said, ended


def test_a_pull_request_has_the_same_shape_for_every_line(
    patterns: list[Mapping[str, Any]], settings: tuple[FixSettings, MessagesApi]
) -> None:
    """Outside the blocks of code nothing of a line is in it, and a title is made of words."""
    shapes, titles = set(), set()
    for pattern, row in zip(patterns, CORPUS, strict=False):
        fix = {
            **pattern, "fix_id": 1, "base_commit": "a" * 40, "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "branch": pull_request.branch(pattern["fingerprint"]), "cause": row["text"],
            "proof": {"jail": "bubblewrap", "runs": [{**RUN, "tail": row["text"]}]},
        }  # fmt: skip
        body = pull_request.body(fix, settings[0])
        shapes.add(FENCED.sub("…", body).replace(pattern["fingerprint"], "v").replace(fix["branch"], "b"))
        titles.add(pull_request.title(fix))

    assert len(shapes) == 1, shapes
    assert [one for one in titles if not re.fullmatch(r"Fix [\w.]+ in [\w./: -]+", one)] == []


def test_the_page_has_the_same_tags_for_every_line(module_monitor: Instance, patterns: list[Mapping[str, Any]]) -> None:
    """No tag, handler or address of a line is in the page that lists them all."""
    tags = Tags()
    tags.feed(module_monitor.client.get("/", params={"limit": 200}).text)

    assert (tags.events, tags.tags & {"script", "img", "iframe", "object", "b", "table"}) == ([], set())
    assert [one for one in tags.addresses if one and not one.startswith(("?", "/", "#", "./", "data:"))] == []
