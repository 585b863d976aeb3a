"""The version of the code that runs."""

import subprocess
from functools import cache
from pathlib import Path

from agent_executor import __version__


@cache
def commit(configured: str | None) -> str:
    """The commit from the environment, else from the checkout we run in, else "unknown"."""
    if configured:
        return configured
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def describe(configured: str | None) -> dict[str, str]:
    """Version and commit, as /api/version answers them."""
    return {"service": "agent_executor", "version": __version__, "commit": commit(configured)}
