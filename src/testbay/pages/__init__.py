"""The base of our HTML pages: templates that escape every value, one style, a content security policy."""

import base64
import functools
import hashlib
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2

from testbay.files import write_whole

_HERE = Path(__file__).parent
_HOW: dict[str, Any] = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
_DIGEST_BYTES = 32  # before the code, as jinja does not know a file that is damaged


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates, kept where Python keeps compiled modules: compiling a run's report takes 40 ms."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        return importlib.util.cache_from_source(f"{filename or name}.py")

    def get_source_checksum(self, source: str) -> str:
        return super().get_source_checksum(f"{_HOW}{source}")

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        with suppress(OSError):
            kept = Path(bucket.key).read_bytes()
            if kept.startswith(_digest(kept[_DIGEST_BYTES:])):
                bucket.bytecode_from_string(kept[_DIGEST_BYTES:])

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if not sys.dont_write_bytecode:
            code = bucket.bytecode_to_string()
            with suppress(OSError):
                Path(bucket.key).parent.mkdir(parents=True, exist_ok=True)
                write_whole(Path(bucket.key), _digest(code) + code)


def _digest(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()


@functools.cache  # compiling a page's templates takes longer than filling them in
def environment(folder: Path) -> jinja2.Environment:
    """Load the templates of a folder, and those that all pages share."""
    loader = jinja2.FileSystemLoader([folder, _HERE])
    return jinja2.Environment(loader=loader, bytecode_cache=_Compiled(), autoescape=True, **_HOW)


def policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy that allows this style, this script and embedded pictures."""
    scripts = f"script-src {_hash(script)}; " if script else ""
    return f"default-src 'none'; style-src {_hash(style)}; {scripts}img-src data:; base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
