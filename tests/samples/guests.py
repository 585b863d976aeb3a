"""Test tools of others, each in a folder of its own: installed beside ours, their plugins would load in every run."""

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What each is made of, without what pytest and our own lock bring.
TOOLS = {
    "asyncpg": ("asyncpg==0.31.0",),
    "eventlet": ("eventlet==0.41.3", "dnspython==2.9.2", "greenlet==3.5.6"),
    "flaky": ("flaky==3.8.1",),
    "freezegun": ("freezegun==1.5.5", "python-dateutil==2.9.0.post0", "six==1.17.0"),
    "gevent": ("gevent==26.9.0", "greenlet==3.5.6", "zope.event==6.2", "zope.interface==8.7"),
    "pyfakefs": ("pyfakefs==6.3.2",),
    "pytest-asyncio": ("pytest-asyncio==1.4.0",),
    "pytest-forked": ("pytest-forked==1.7.5", "py==1.11.0"),
    "pytest-rerunfailures": ("pytest-rerunfailures==16.7",),
    "pytest-socket": ("pytest-socket==0.8.1",),
    "time-machine": ("time-machine==3.6.0",),
}


@functools.cache
def tool(name: str) -> Path:
    """The folder for PYTHONPATH; installed at the first call, removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"testbay-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    argv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    subprocess.run([*argv, "--target", str(folder), *TOOLS[name]], check=True)
    return folder
