"""A compose file as a tree: YAML parsed as Compose does, with the position of each text and its `!reset` tags."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from testbay.errors import ManifestError
from testbay.manifest.compose.finding import UnboundedError
from testbay.manifest.yamlloader import Loader

_LIMIT_BYTES = 1_000_000
_LIMIT_NODES = 50_000
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]| )(\d\d?):(\d\d?):(\d\d?)(\.\d+)?(Z|[-+]\d\d:\d\d)?)?", re.ASCII)
_EXPONENT_FROM = 6
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:binary")


class Written(str):
    """A text from a file, with its position."""

    __slots__ = ("__dict__",)
    place: tuple[Path, int]


def like(old: Any, new: str) -> str:
    """Return a new text with the type and attributes of an old one: its position, origin, or why it has no value."""
    if type(old) is str or not isinstance(old, str):
        return new
    made = type(old)(new)
    made.__dict__.update(old.__dict__)
    return made


class Reset:
    """A value tagged `!reset`: removes the key that earlier files set."""


class Replaced:
    """A value tagged `!override`: replaces the key's value of earlier files."""

    def __init__(self, value: Any) -> None:
        self.value = value


def parse(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    """Read every document of a file.

    Raises:
        ManifestError: It is too large, not YAML, or not a mapping.
    """
    if len(content) > _LIMIT_BYTES:
        raise UnboundedError(f"{path}: larger than {_LIMIT_BYTES} bytes", todo="a compose file is a page of text")
    try:
        nodes: list[yaml.Node | None] = list(yaml.compose_all(content, Loader=Loader))  # which we interpret
        for node in nodes:
            tree = _Tree(path).value(node) if node is not None else None
            if tree is None:
                continue
            if not isinstance(tree, dict):
                raise _refusal(path, "the top of the file is not a mapping")
            yield tree
    except RecursionError:
        raise UnboundedError(f"{path}: nested too deeply", todo="a compose file is a page of text") from None
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        said = " ".join(str(error).replace('in "<byte string>", ', "at ").split())
        raise _refusal(path, said) from None


def _refusal(path: Path, why: str) -> ManifestError:
    return ManifestError(f"{path}: not YAML that Compose reads", why=why, todo="fix the line it names")


class _Tree:
    """Converts YAML nodes to values. The number of values is bounded, as aliases repeat nodes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nodes = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node) -> Any:
        """Convert a node, and keep its tag."""
        self._nodes += 1
        if self._nodes > _LIMIT_NODES:
            said = f"{self._path}: aliases make more than {_LIMIT_NODES} entries"
            raise UnboundedError(said, todo="a compose file is a page of text")
        if id(node) in self._open:  # some Composes never end with one
            said = f"{self._path}: {_line(node)}: an anchor contains itself"
            raise UnboundedError(said, todo="take its own name out of it")
        if node.tag == "!reset":
            return Reset()
        self._open.add(id(node))
        value = self._plain(node)
        self._open.discard(id(node))
        return Replaced(value) if node.tag == "!override" else value

    def _plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        quoted = bool(node.style) or (node.tag in _TEXT_TAGS and not _implicit(node))
        value = node.value if quoted else resolve(node.value)
        if isinstance(value, str):
            value = Written(value)
            value.place = (self._path, node.start_mark.line + 1)
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                merged.append(value_node)
                continue
            key = key_text(self.value(key_node))
            if key in own:
                raise ValueError(f"{_line(key_node)}: mapping key {key!r} already defined")
            own[key] = self.value(value_node)
        for value_node in merged:
            for source in self._sources(value_node):
                for key, value in source.items():
                    own.setdefault(key, value)
        return own

    def _sources(self, node: yaml.Node) -> list[dict[str, Any]]:
        given = self.value(node)
        sources = given if isinstance(given, list) else [given]
        if not all(isinstance(source, dict) for source in sources):
            raise ValueError(f"{_line(node)}: a merge key takes a mapping or a list of mappings")
        return sources


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and not node.style


def _implicit(node: yaml.ScalarNode) -> bool:
    """Return whether a plain scalar has no explicit tag: the composer's resolver chose `str` for it."""
    return node.tag == "tag:yaml.org,2002:str" and not node.style


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def resolve(text: str) -> Any:
    """Convert a plain scalar as Compose's YAML 1.2 does: `on` is a text, `0x1F` a number."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text if text.startswith("_") else text.replace("_", "")
    if _INT.fullmatch(digits):
        return _integer(digits)
    if _FLOAT.fullmatch(digits):
        return text if math.isinf(float(digits)) else float(digits)
    return _date(text)


def _integer(digits: str) -> int | float | str:
    sign, body = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if len(body) > 1 and body[0] == "0" and body[1].isdigit():
        body = "0o" + body[1:]
    number = sign * int(body, 0)
    try:
        return number if -(2**63) <= number < 2**64 else float(number)
    except OverflowError:
        return digits


def _date(text: str) -> str:
    """Write a date as Go does, as in Compose's output; any other text stays as it is."""
    match = _DATE.fullmatch(text)
    if match is None:
        return text
    year, month, day, *clock = match.groups()
    hour, minute, second = (part or "0" for part in clock[:3])
    try:
        datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return text
    fraction, zone = (clock[3] or "").rstrip("0").rstrip("."), clock[4] or "Z"
    offset = "+0000 UTC" if zone == "Z" else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    return f"{year}-{int(month):02}-{int(day):02} {int(hour):02}:{int(minute):02}:{int(second):02}{fraction} {offset}"


def key_text(value: Any) -> str:
    """A mapping's key as text."""
    return value if isinstance(value, str) else text_of(value)


def text_of(value: Any) -> str:
    """A scalar as the text that reaches a container."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return "" if value is None else str(value)


def _float_text(value: float) -> str:
    """The shortest digits, with an exponent only for the very small and the very large, as Go writes them."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value)).normalize()
    power = number.adjusted()
    if number and not -4 <= power < _EXPONENT_FROM:
        return f"{number.scaleb(-power):f}e{power:+03}"
    return f"{number:f}"
