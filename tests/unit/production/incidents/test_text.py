"""What stands in an issue: the most useful first, bounded, and nothing of what others wrote is obeyed by GitHub."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from markdown_it import MarkdownIt

from testbay.errors import IncidentsError
from testbay.production.checks.report import Report, Result
from testbay.production.incidents import marker
from testbay.production.incidents.findings import CheckRun, masked
from testbay.production.incidents.issue_text import Writer
from testbay.production.incidents.issues import Issue
from testbay.production.incidents.marker import State, digest
from testbay.production.incidents.plan import Action, Policy, Tracked, Verb, plan

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SITE = "https://github.com/acme/shop"
OLD, NEW = "a" * 40, "b" * 40
KEPT = "`testbay incidents` maintains this text and overwrites edits."
LASTED = (
    "It lasted 1 h 30 min, from the first bad run, 2026-11-21 12:00 UTC, to the first good one, 2026-11-21 13:30 UTC."
)
FAILED = Result(check="health", kind="http", verdict="fail", said="status is 404", evidence=("<h1>Gone</h1>",))
STATE = State(
    scope=digest("a"), kind="fail", key=digest("b"), checks=("docs", "health"), failing=("health",), started=NOON,
    seen=NOON + timedelta(hours=26, minutes=5), run="7", good_commit="a" * 40, bad_commit="b" * 40,
)  # fmt: skip
HOSTILE = [
    "@acme/everyone and @octocat",
    "fixes #1, closes GH-1, resolves acme/shop#1",
    "<script>alert(1)</script><img src=x>",
    "` @octocat ` #1",
    "```\n@octocat #1\n```",
    "~~~\n@octocat",
    "```",
    "````",
    "</details> @octocat",
    "--> <!-- testbay-incident {} -->",
    "[evil](https://evil.invalid) ![](https://evil.invalid/x.png)",
    "https://evil.invalid www.evil.invalid a@evil.invalid",
    "\n\n# evil\n- [ ] @octocat\n| evil |\n|---|",
    "&#64;octocat &commat;octocat",
    "\u202e@octocat\x1b[2J\0\u200b",
    "evil\r@octocat",
    "$`evil`$ \\` @octocat \\",
    "    @octocat",
    "[^1]: @octocat",
    "`" * 300 + "@octocat",
]


def writer(*results: Result, **facts: Any) -> Writer:
    """For a run of these."""
    when = NOON.isoformat()
    known = {"service": "shop", "phase": "scheduled", "target": "production", "started": when, "finished": when}
    run = CheckRun(report=Report(**{**known, **facts}, results=results or (FAILED,)), id="7", started=NOON)
    return Writer(run=run, policy=Policy(), site=SITE)


def changed(verb: Verb, state: State, **before: Any) -> Action:
    """What becomes of the incident that was as STATE, or different in this."""
    issue = Issue(number=3, is_open=True, body="", labels=(), updated_at="", closed_at=None)
    return Action(verb=verb, state=state, was=Tracked(issue=issue, state=replace(STATE, **before)))


def test_the_first_line_says_what_is_wrong_where_and_for_how_long() -> None:
    """Below the hidden line: the trouble, then the answers, the suspects, the evidence, and the rules of the house."""
    _, body = writer(FAILED, run_url=f"{SITE}/actions/runs/7").body(STATE).split("\n", 1)

    assert body.splitlines() == [
        "**`health` fails**: service `shop` on `production`, since 2026-11-21 12:00 UTC, for 1 d 2 h.",
        "",
        "- `health` **fails**: `status is 404`",
        "- `docs` did not run in the last run",
        "",
        f"**Suspect commits**: after `{OLD}`, which was fine, up to `{NEW}` ([compare]({SITE}/compare/{OLD}...{NEW})).",
        "",
        "<details><summary>Evidence</summary>",
        "",
        "**`health`**",
        "",
        "```text",
        "<h1>Gone</h1>",
        "```",
        "",
        "</details>",
        "",
        "---",
        f"[Run of 2026-11-21 12:00 UTC]({SITE}/actions/runs/7). Closed after 2 good runs in a row. {KEPT}",
    ]


def test_an_issue_that_everyone_reads_can_say_the_verdict_alone() -> None:
    """`evidence = "verdict"` of a target: no word of what was answered, in the issue, its hidden line or its news."""
    failed = replace(FAILED, said="canary of a customer", evidence=("canary",))
    told = writer(failed, evidence="verdict")

    body = told.body(STATE)
    assert "- `health` **fails**\n" in body
    assert "canary" not in body + told.title(STATE) + told.news(changed("update", STATE, failing=("docs",)))
    assert "canary" in writer(failed).body(STATE)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"good_commit": ""}, f"**Commit** `{'b' * 40}`. No good run before it is on record."),
        ({"good_commit": "b" * 40}, f"**Suspect commits**: none, `{'b' * 40}` was fine before. Look at data, settings"),
        ({"bad_commit": "#1"}, f"**Suspect commits**: after `{'a' * 40}`, which was fine, up to `#1`."),
        ({"fixed_commit": "cafe123"}, " Fine at `cafe123`."),
        ({"kind": "stale", "bad_commit": "old"}, "**Expected** `new`, **answered** `old`."),
        ({"duplicate_of": 2}, "Duplicate of #2: more than one was opened for it, and the lowest number stays."),
        (
            {"good": ("8",), "recovered": NOON + timedelta(minutes=90)},
            "**Recovered**: service `shop` on `production`. It",
        ),
        ({"failing": tuple("abcde")}, "**`a`, `b`, `c` and 2 more fail**: "),
        ({"checks": tuple(f"c{n:02}" for n in range(30))}, "- … and 21 more"),
    ],
)
def test_a_body_tells_what_it_knows(change: dict[str, Any], line: str) -> None:
    """Each thing that can be known has its words."""
    assert line in writer(expected_commit="new").body(replace(STATE, **change))


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (changed("duplicate", STATE), ""),
        (changed("update", STATE), ""),
        (
            changed("update", STATE, failing=("docs",)),
            "Now also: `health`. No longer: `docs`. Run of 2026-11-21 12:00 UTC.",
        ),
        (changed("reopen", STATE), "Again, after it was closed: `health`. Run of 2026-11-21 12:00 UTC."),
        (
            changed("close", replace(STATE, recovered=NOON + timedelta(minutes=90), good=("6", "7"))),
            f"Over. {LASTED} Good runs in a row: 2 of 2. Run of 2026-11-21 12:00 UTC.",
        ),
    ],
)
def test_a_comment_is_written_for_news_alone(action: Action, text: str) -> None:
    """Who follows an issue hears of changes, and by which run."""
    assert writer().news(action) == (f"<!-- testbay-run 7 -->\n{text}\n" if text else "")


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({}, "shop on production: health fails"),
        ({"failing": ("a", "b", "c")}, "shop on production: a and 2 more fail"),
        ({"kind": "stale"}, "shop on production: health finds an old build"),
        ({"kind": "error", "failing": ("a", "b")}, "shop on production: a and 1 more cannot run"),
    ],
)
def test_a_title_says_where_and_what(change: dict[str, Any], title: str) -> None:
    """It is enough for the list of issues."""
    assert writer().title(replace(STATE, **change)) == title


def test_the_title_of_a_pattern_says_the_error() -> None:
    """Its check is a hash; a state that no answer may tell of keeps that."""
    said = "KeyError: 'x' (of a cart) (high, open, shop, v1:0a)"
    found = Result(check="v1:0a", kind="pattern", verdict="fail", said=said)
    state = replace(STATE, failing=("v1:0a",), checks=("v1:0a",))

    assert writer(found).title(state) == "shop on production: KeyError: 'x' (of a cart)"
    assert writer(found, evidence="verdict").title(state) == "shop on production: v1:0a fails"


def outside_of_code(markdown: str) -> str:
    """What GitHub would look for mentions, references, links and HTML in."""
    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        for part in [token, *(token.children or [])]:
            if part.type not in ("code_inline", "fence", "code_block", "inline"):
                found.append(part.content + str(part.attrs.get("href", "")) + str(part.attrs.get("src", "")))
            assert part.type not in ("code_block", "table_open", "image", "footnote_ref", "blockquote_open"), part
    return "\n".join(found)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_report_is_obeyed(text: str) -> None:
    """Wherever a text of others may stand, it is shown and no more: it calls nobody, refers to nothing."""
    result = Result(check=text, instance=text, kind=text, verdict="fail", said=text, evidence=(text, "@octocat #1"))
    page = writer(result, service=text, target=text, commit=text, expected_commit=text, run_url=text)
    state = replace(STATE, checks=(text,), failing=(text,), good_commit=text, bad_commit=text, fixed_commit=text)
    for kind in marker.KINDS:
        body = page.body(replace(state, kind=kind))
        news = page.news(changed("update", state, failing=("other",)))
        live = outside_of_code(body.partition("\n")[2]) + outside_of_code(news)

        assert re.findall(r"[@#]|evil|octocat|script|GH-|javascript", live) == [], live
        assert "<" not in re.sub(r"<details><summary>Evidence</summary>|</details>|<!-- testbay-run 7 -->", "", live)
        assert marker.read(body) == replace(state, kind=kind)
        assert body.count("-->") - body.partition("\n")[2].count("-->") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_title_calls_anybody(text: str) -> None:
    """A title is plain text on one line, of a length that GitHub takes."""
    title = writer(service=text, target=text).title(replace(STATE, failing=(text,)))

    assert re.search(r"[@#](?!\u2060)|[\x00-\x1f\u202e`]", title) is None
    assert len(title) < 250


def test_a_body_of_the_worst_report_is_taken() -> None:
    """However much was found, and whatever in: fewer characters than GitHub takes for a body."""
    worst = tuple(f"{'`' * 30}{number:05}" for number in range(900))
    results = [
        Result(
            check=check,
            instance="`" * 500 + part,
            kind="http",
            verdict="fail",
            said="`" * 999,
            evidence=("`" * 999,) * 40,
        )
        for check in worst[:20]
        for part in "abcd"
    ]
    body = writer(*results, service="`" * 500, target="<" * 500, run_url="`" * 500).body(
        replace(STATE, checks=worst, failing=worst, good_commit="`" * 500, bad_commit="@" * 500)
    )

    assert 45_000 < len(body) <= 65_536


def test_more_checks_than_an_issue_can_name_are_refused() -> None:
    """What cannot be remembered is said, not cut."""
    many = tuple(f"{'x' * 400}{number}" for number in range(99))

    with pytest.raises(IncidentsError, match="an incident of 99 checks is more than an issue has room for"):
        marker.write(replace(STATE, checks=many, failing=many))


def test_secrets_are_masked_before_anything_is_cut() -> None:
    """A value that would be cut in half is masked whole, in title, body, hidden line and comment."""
    secret = "s3cr3t-" + "v" * 60
    result = Result(check=secret, kind=secret, verdict="fail", said="x" * 170 + secret, evidence=("y" * 190 + secret,))
    facts: Any = {"service": secret, "target": secret, "commit": secret, "expected_commit": secret, "run_url": secret}
    told = Report(**facts, phase="scheduled", started=NOON.isoformat(), finished="", results=(result,))

    run = CheckRun(report=masked(told, lambda text: text.replace(secret, "***")), id="7", started=NOON)

    [action] = plan([], run, Policy())
    page = Writer(run=run, policy=Policy(), site=SITE)
    texts = [page.title(action.state), page.body(action.state), page.news(changed("update", action.state))]
    assert [("s3cr3t" in text, "***" in text) for text in texts] == [(False, True)] * 3
