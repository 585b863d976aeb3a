"""A PostgreSQL that a person starts by hand: nothing of testbay but where its programs are."""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testbay import ports
from testbay.fixtures import eventually
from testbay.harness.dependencies.postgres import programs


class Plain:
    """A server; `fresh` gives an empty database each time."""

    def __init__(self, folder: Path, bin_dir: Path) -> None:
        self.bin_dir = bin_dir
        self.port, lock = ports.hold(26432, fixed=False, name="plain")
        lock.close()
        # No server runs as root.
        become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        argv = [*become, str(bin_dir / "initdb"), "-D", f"{folder}/data", "-U", "app", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*argv, "--no-sync"], check=True, **quiet)  # type: ignore[call-overload]
        options = ["-F", "-p", str(self.port), "-k", str(folder), "-D", f"{folder}/data"]
        self.child = subprocess.Popen([*become, str(bin_dir / "postgres"), *options], **quiet)  # type: ignore[call-overload]
        eventually(lambda: not self.psql("postgres", "-c", "SELECT 1").returncode, "PostgreSQL to answer", 60)

    def psql(self, database: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Ask it."""
        argv = [str(self.bin_dir / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", f"{self.url}/{database}", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    @property
    def url(self) -> str:
        return f"postgresql://app:app@localhost:{self.port}"

    def fresh(self) -> str:
        """Make the database `app` anew; returns its address."""
        for sql in ("DROP DATABASE IF EXISTS app WITH (FORCE)", "CREATE DATABASE app"):
            done = self.psql("postgres", "-c", sql)
            assert done.returncode == 0, done.stderr
        return f"{self.url}/app"


@contextlib.contextmanager
def plain_postgres() -> Iterator[Plain]:
    """Hold one, in a folder with a short name: its socket's path has a limit."""
    folder = Path(tempfile.mkdtemp(prefix="plain-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    folder.chmod(0o755)
    server = Plain(folder, programs.everything(dict(os.environ))[0].bin_dir)
    try:
        yield server
    finally:
        server.child.terminate()
        server.child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def migrate(url: str, folder: Path, how: str, server: Plain, environ: dict[str, str]) -> None:
    """Migrate by hand: a folder of SQL in its order, without what leads back; else by that command."""
    if (folder / how).is_dir():
        files = [file for file in sorted((folder / how).glob("*.sql")) if ".down." not in file.name]
        done = [server.psql(url.rpartition("/")[2], "-f", str(file)) for file in files]
        assert [one.stderr for one in done if one.returncode] == []
    else:
        subprocess.run(shlex.split(how), cwd=folder, env=environ, check=True, capture_output=True)
