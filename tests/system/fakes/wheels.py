"""Locked packages as files behind an address: a build has neither this machine's index nor its certificates."""

import ensurepip
import functools
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from tests.served import Handler, serving

_OLDER_PYTHON = re.compile(r" ; python_full_version < '[\d.]+'")  # the image's may be older than ours


class _Quiet(Handler, SimpleHTTPRequestHandler):
    """Serves files, and prints nothing."""


@contextmanager
def wheels(folder: Path, lock: Path) -> Iterator[str]:
    """The packages of a lock."""
    wanted = folder / "wanted.txt"
    wanted.write_text(_OLDER_PYTHON.sub("", lock.read_text(encoding="utf-8")), encoding="utf-8")
    # Neither uv nor scripts/bootstrap puts pip into an environment, but every Python keeps the wheel of one.
    kept = [sysconfig.get_config_var("WHEEL_PKG_DIR") or "", Path(ensurepip.__file__).with_name("_bundled")]
    pip = next(wheel for place in kept if place for wheel in Path(place).glob("pip-*.whl"))
    argv = [sys.executable, str(pip / "pip"), "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*argv, "--no-deps", "--dest", str(folder), "--requirement", str(wanted)], check=True)
    with serving(functools.partial(_Quiet, directory=str(folder))) as url:
        yield f"{url}/"
