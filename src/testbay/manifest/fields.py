"""The values of check keys: durations, conditions, percentages; invalid ones are refused when they are read."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from testbay.manifest.expressions import parse
from testbay.text import parse_duration


class Table(BaseModel):
    """A table of the manifest: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _seconds(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f'{text!r} is not a duration: write it as text, e.g. "90s"')  # noqa: TRY004 - pydantic's way
    return parse_duration(text)


def _condition(text: str) -> str:
    return parse.condition(text).text


def _expression(text: str) -> str:
    return parse.expression(text).text


def share(text: Any) -> float:
    """A percentage as a number: 0.2 for 20 %.

    Raises:
        ValueError: Not a percentage, or not above zero.
    """
    found = re.fullmatch(r"(\d{1,4}(?:\.\d+)?)%", text) if isinstance(text, str) else None
    if not found or not float(found[1]):
        raise ValueError(f"{text!r} is not a percentage above zero: write e.g. 20%")
    return float(found[1]) / 100


def _once_each(texts: list[str]) -> list[str]:
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"{text!r} stands in it twice")
    return texts


Duration = Annotated[float, BeforeValidator(_seconds)]
Share = Annotated[float, BeforeValidator(share)]
Condition = Annotated[str, AfterValidator(_condition)]
Value = Annotated[str, AfterValidator(_expression)]
Instance = Annotated[str, Field(min_length=1, max_length=500)]
Instances = Annotated[list[Instance], Field(min_length=1), AfterValidator(_once_each)]
VARIABLE = r"^\$\{\w+\}$"
ADDRESS = r"^(\$\{\w+\}|\{secret\.\w+\})$"
HOST_PORT = r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+|\$\{\w+\}):(\d{1,5}|\$\{\w+\})$"
BASE_URL = r"^(https?://[^\s/?#]+|\$\{\w+\})[^\s?#]*$"
SERVICE = r"^[a-z][a-z0-9_-]{0,62}$"
CHECK_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"
SHAPES = {  # in the words of a person
    VARIABLE: "write ${NAME}: what is a key stands in the environment, not in a file",
    ADDRESS: "write ${NAME}: an address that may hold a password stands in the environment, not in a file",
    SERVICE: "write small letters, digits, - and _, a letter first, 63 at most",
    CHECK_ID: "write small letters, digits and -, which is not the first, 63 at most",
    "^/": "write a path that begins with /",
    BASE_URL: "write http:// or https:// and a host, with a path if need be: https://shop.example.org; or ${NAME}",
    HOST_PORT: "write HOST:PORT, e.g. shop.example.org:443 or [::1]:443",
}
CaptureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
