"""Compose files that make much of little: each is refused in a sentence, before Compose itself is asked."""

import os
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.harness.dependencies import container
from testbay.manifest.compose import reader
from testbay.manifest.compose.reading import ComposeService, Volume

SERVICE = "services:\n  c:\n    image: redis:7\n"
FAN = {f"f{at}.yaml": f"include: [f{at + 1}.yaml, f{at + 1}.yaml]\n" for at in range(20)}
BOMBS = {
    "aliases": {
        "compose.yaml": "x0: &a0 [a, a, a, a]\n"
        + "".join(f"x{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 9))
    },
    "an anchor in itself": {"compose.yaml": f"a: &a\n  <<: *a\n{SERVICE}"},
    "merge keys": {
        "compose.yaml": "x0: &a0 {k: v}\n"
        + "".join(f"x{at}: &a{at} {{<<: [*a{at - 1}, *a{at - 1}, *a{at - 1}]}}\n" for at in range(1, 25))
    },
    "brackets": {"compose.yaml": f"{SERVICE}    labels: {'[' * 9000}{']' * 9000}\n"},
    "includes": {"compose.yaml": f"include: [f0.yaml]\n{SERVICE}", **FAN, "f20.yaml": SERVICE},
    "a variable of variables": {
        ".env": "A0=aaaaaaaa\n" + "".join(f"A{at}={f'${{A{at - 1}}}' * 9}\n" for at in range(1, 30)),
        "compose.yaml": SERVICE,
    },
    "variables in a text": {
        ".env": f"A={'a' * 90_000}\n",
        "compose.yaml": f"{SERVICE}    environment:\n      V: {'${A}' * 90}\n",
    },
    "variables in many texts": {
        ".env": f"A={'a' * 900_000}\n",
        "compose.yaml": f"{SERVICE}    environment:\n" + "".join(f"      V{at}: ${{A}}\n" for at in range(90)),
    },
}


@pytest.mark.parametrize("files", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    """Nobody waits for it, and Compose is not asked: it would be waited for as well."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    plugin = tmp_path / "docker" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"#!/bin/sh\necho asked > {tmp_path}/asked\n")
    plugin.chmod(0o755)

    with pytest.raises(ManifestError):
        reader.read([tmp_path / "compose.yaml"], {"DOCKER_CONFIG": str(tmp_path / "docker")})
    assert not (tmp_path / "asked").exists()


def test_a_number_without_end_is_a_text(tmp_path: Path) -> None:
    """Python's own limits on numbers are no traceback."""
    (tmp_path / "compose.yaml").write_text(f"{SERVICE}    environment: {{A: 0x{'f' * 900}, B: {'9' * 900}}}\n")

    [service] = reader.own_reading([tmp_path / "compose.yaml"], {}).services
    assert service.environment == {"A": f"0x{'f' * 900}", "B": "9" * 900}


def test_a_mounted_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A configuration file that is a pipe, or a device, is refused with its name."""
    os.mkfifo(tmp_path / "redis.conf")
    mount = Volume(type="bind", source=str(tmp_path / "redis.conf"), target="/etc/redis.conf")

    with pytest.raises(ManifestError, match=r"/etc/redis\.conf cannot be read") as refused:
        container.text(ComposeService(key="c", image="redis:7", volumes=(mount,)), "/etc/redis.conf")
    assert refused.value.why == f"the compose file mounts {tmp_path / 'redis.conf'}: not a file"
