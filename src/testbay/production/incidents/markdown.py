"""Text of others in GitHub's markdown: shown as it is, and never obeyed.

What stands in code is no link, no mention, no reference to an issue and no HTML. It is the one place where GitHub looks
for none of them: an escaped @ still calls people, since names are looked for in what was rendered.
"""

import re

_JOINER = "\u2060"  # has no width
_BACKTICK = "\u02cb"  # looks like one


def visible(text: str, most: int) -> str:
    """On one line, with a mark for each character that is not printable or turns the line around, and cut."""
    shown = "".join(c if c.isprintable() else " " if c in "\t\r\n" else "\ufffd" for c in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def code(text: str, most: int = 200) -> str:
    """In a line of prose. A backtick, which would end it, becomes one that looks like it."""
    return f"`{visible(text, most).replace('`', _BACKTICK).strip() or ' '}`"


def fence(lines: list[str], most: int = 200) -> str:
    """A block of lines as they are."""
    return "\n".join(["```text", *(visible(line, most).replace("`", _BACKTICK) for line in lines), "```"])


def title(text: str) -> str:
    """For an issue's title, which knows no code: the signs that call people or issues lose what follows."""
    return re.sub(r"([@#])", rf"\1{_JOINER}", visible(text, 150)).replace("`", "'")


def link(words: str, url: str, prefix: str) -> str:
    """The words as a link, if the address is a plain one below the prefix; else the words, with the address as code."""
    if prefix and re.fullmatch(re.escape(prefix) + r"/[\w./?=&%+-]*", url, re.ASCII):
        return f"[{words}]({url})"
    return f"{words} {code(url)}" if url else words
