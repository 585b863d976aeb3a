"""The base of our HTML pages: templates that escape every value, one style, a content security policy."""

import base64
import functools
import hashlib
from pathlib import Path

import jinja2

_HERE = Path(__file__).parent


@functools.cache  # compiling a page's templates takes longer than filling them in
def environment(folder: Path) -> jinja2.Environment:
    """Load the templates of a folder, and those that all pages share."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy that allows this style, this script and embedded pictures."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    return f"default-src 'none'; style-src {_hash(style)}; {scripts}img-src data:; base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
