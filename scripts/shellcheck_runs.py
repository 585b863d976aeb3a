"""ShellCheck over each `run:` of these files, workflows and composite actions; it reads scripts, not YAML.

Usage: shellcheck_runs.py FILE…   Exit codes: 0 clean · 1 findings
"""

import subprocess
import sys
from pathlib import Path

import yaml


def main(*files: str) -> int:
    """Check all; findings go to standard output, below the place where the script stands."""
    code = 0
    for file in files:
        table = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        for name, job in table.get("jobs", {"runs": table.get("runs")}).items():
            for number, step in enumerate(job.get("steps", ())):
                if "run" in step and (found := findings(step["run"])):
                    print(f"{file}: {name}.steps[{number}]:\n{found}")
                    code = 1
    return code


def findings(script: str) -> str:
    """What ShellCheck says; nothing where it is content."""
    call = ["shellcheck", "--shell=bash", "-"]
    return subprocess.run(call, input=script, stdout=subprocess.PIPE, text=True, check=False).stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
