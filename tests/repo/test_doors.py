"""Each danger has one door.

Ruff bans the dangers, but an exception for one file opens all doors there; this closes the others again.
"""

import ast
import functools
from pathlib import Path

import pytest
from tests.repo.conftest import parsed

pytestmark = pytest.mark.xdist_group("laws")  # one worker parses every file, once

SOURCE = Path(__file__).parents[2] / "src/testbay"

SPAWNING = {
    *(f"asyncio.create_subprocess_{name}" for name in ("exec", "shell")),
    *(f"os.{name}" for name in ("fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "system")),
    *(f"os.{verb}{tail}" for verb in ("exec", "spawn") for tail in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"subprocess.{name}" for name in ("Popen", "run", "call", "check_call", "check_output")),
    *(f"subprocess.{name}" for name in ("getoutput", "getstatusoutput")),
    "pty.spawn",
}
# Programs that testbay.process starts: they import nothing of ours, and become a service, or end one.
PROGRAMS = (
    *("harness/reaper.py:", "harness/launch/forkserver.py:", "harness/launch/preloading.py:"),
    "harness/run/startpytest.py:",
)
ENVIRONMENT = {f"os.{name}" for name in ("environ", "environb", "getenv", "getenvb", "putenv", "unsetenv")}


@functools.cache
def doors() -> dict[str, str]:
    """Each use of a danger in src/testbay, as file:line name; `from os import environ` is one, too."""
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = {f"{node.value.id}.{node.attr}"}
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                continue
            for name in sorted(names & (SPAWNING | ENVIRONMENT)):
                found[f"{file.relative_to(SOURCE).as_posix()}:{node.lineno} {name}"] = name
    return found


def used(names: set[str]) -> list[str]:
    """Each use of one of these."""
    return [use for use, name in doors().items() if name in names]


def test_only_process_spawns() -> None:
    """Process groups, signals and output are handled in one place: testbay.process, and the programs that it starts."""
    strangers = [use for use in used(SPAWNING) if not use.startswith(("process/starting.py:", *PROGRAMS))]

    assert not strangers, "\n".join(strangers)


def test_only_settings_reads_the_environment() -> None:
    """Flags beat variables beat defaults in one place: testbay.settings."""
    strangers = [use for use in used(ENVIRONMENT) if not use.startswith(("settings.py:", *PROGRAMS))]

    assert not strangers, "\n".join(strangers)


def test_the_doors_are_where_we_say() -> None:
    """Both doors are in use: a renamed file would make the laws above pass on nothing."""
    found = {use.partition(":")[0] for use in used(SPAWNING | ENVIRONMENT)}

    assert found >= {"process/starting.py", "settings.py"}
