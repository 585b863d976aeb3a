"""Draws docs/isolation.svg by hand: bars of what a test costs, and how that grows; readable on light and on dark."""

import math
from collections.abc import Iterator
from html import escape

Point = tuple[int, float]

WIDTH = 860
LEFT, RIGHT = 340, 800  # where the axes begin and end; names stand to the left, values to the right
BAR, GAP = 16, 10
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .other { fill: #8c959f; } .bound { fill: #c4ccd4; } .ours { fill: #0969da; }
  path { fill: none; stroke-width: 2; } .line-other { stroke: #8c959f; } .line-ours { stroke: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .quiet { fill: #9198a1; } .grid { stroke: #30363d; }
    .other { fill: #7d8590; } .bound { fill: #484f58; } .ours { fill: #4493f8; }
    .line-other { stroke: #7d8590; } .line-ours { stroke: #4493f8; }
  }
"""


def draw(costs: dict[str, tuple[str, float]], growth: dict[str, list[Point]], conditions: str) -> str:
    """The whole picture.

    Args:
        costs: What each contestant does, with its name and its median cost in ms.
        growth: The same words, with numbers of tests and median costs in ms.
        conditions: What the numbers depend on.
    """
    ordered = sorted(costs.items(), key=lambda item: item[1][1])
    below = 78 + len(ordered) * (BAR + GAP) + 30
    parts = [*bars(ordered, 78), *(curves(growth, below + 62) if growth else [])]
    height = below + (276 if growth else 10)
    described = "; ".join(f"{what}: {label(ms)} ms" for what, (_, ms) in ordered)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>What isolating one test costs</title><desc>{escape(described)}</desc>",
        f"<style>{STYLE}</style>",
        text(16, 26, "What isolating one test costs: set-up + teardown, median ms, logarithmic", "title"),
        text(16, 46, conditions, "quiet"),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def bars(ordered: list[tuple[str, tuple[str, float]]], top: int) -> Iterator[str]:
    """One bar each, the cheapest first."""
    costs = [ms for _, (_, ms) in ordered]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    bottom = top + len(ordered) * (BAR + GAP)

    def x(ms: float) -> float:
        return LEFT + (math.log10(ms) - low) / max(high - low, 1) * (RIGHT - LEFT)

    for power in range(low, high + 1):
        yield line(x(10**power), top - 6, x(10**power), bottom)
        yield text(x(10**power), bottom + 16, label(10**power), "quiet", "middle")
    for index, (what, (name, ms)) in enumerate(ordered):
        y = top + index * (BAR + GAP)
        yield text(LEFT - 8, y + 13, what, anchor="end")
        yield f'<rect class="{kind(name)}" x="{LEFT}" y="{y}" width="{x(ms) - LEFT:.1f}" height="{BAR}" rx="2"/>'
        yield text(x(ms) + 6, y + 13, label(ms))


def curves(growth: dict[str, list[Point]], top: int) -> Iterator[str]:
    """A line for each contestant over the number of tests."""
    points = [point for line_of in growth.values() for point in line_of]
    most = max(tests for tests, _ in points)
    low, high = (f(math.log10(g(ms for _, ms in points))) for f, g in ((math.floor, min), (math.ceil, max)))
    bottom = top + 180

    def x(tests: float) -> float:
        return 60 + tests / most * (RIGHT - 260)

    def y(ms: float) -> float:
        return bottom - (math.log10(ms) - low) / max(high - low, 1) * (bottom - top)

    yield text(16, top - 24, "The same with more tests in one run", "title")
    for power in range(low, high + 1):
        yield line(60, y(10**power), x(most), y(10**power))
        yield text(52, y(10**power) + 4, f"{label(10**power)} ms", "quiet", "end")
    for tests in sorted({tests for tests, _ in points}):
        yield text(x(tests), bottom + 18, str(tests), "quiet", "middle")
    yield text(x(most) + 24, bottom + 18, "tests", "quiet")
    for what, line_of in growth.items():
        look = "ours" if what.startswith("testbay") else "other"
        steps = " L".join(f"{x(tests):.1f},{y(ms):.1f}" for tests, ms in line_of)
        yield f'<path class="line-{look}" d="M{steps}"/>'
        yield from (f'<circle class="{look}" cx="{x(n):.1f}" cy="{y(ms):.1f}" r="4"/>' for n, ms in line_of)
        last = line_of[-1][1]
        yield text(x(most) + 14, y(last) + 4, what.partition(", its")[0] + f": {label(last)} ms")


def kind(name: str) -> str:
    """How a bar looks: ours, what bounds everybody, the others."""
    if name.startswith("testbay"):
        return "ours"
    return "bound" if name.startswith("floor") or name == "pytest" else "other"


def label(ms: float) -> str:
    """Two or three digits that matter."""
    return f"{ms:.2g}" if ms < 10 else f"{ms:,.0f}"


def text(x: float, y: float, words: str, look: str = "", anchor: str = "start") -> str:
    """A line of text."""
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line of the grid."""
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
