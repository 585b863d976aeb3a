"""A small repository with this one's workflow files and scripts, run by the stepper; AWS and GitHub are on loopback.

Its services are as small as can be, and `scripts/bootstrap` only leads to the .venv that is there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stepper.runner import Event, Machine, Repository, Runner, WorkflowRun, head
from tests.stepper.workflow import load
from tests.system.conftest import REPOSITORY, TEMPLATE, WARM_STEPS
from tests.system.fakes.cloud import BEARER, ROLE, Cloud

from testbay.masking import Scan

ENVIRONMENT = "ci-openai"
# Where Docker, images, packages and certificates are: a runner would have its own.
_OF_THE_MACHINE = ("DOCKER_", "POSTGRES_IMAGE", "DRAGONFLY_IMAGE", "NATS_", "PIP_", "UV_", "SSL_CERT_")
BOOTSTRAP = """#!/bin/bash
find_python() {{ echo '{python}'; }}
[[ ${{BASH_SOURCE[0]}} == "$0" ]] || return 0
{first}
mkdir -p .venv/bin
printf '#!/bin/sh\nexec %s "$@"\n' '{python}' > .venv/bin/python && chmod +x .venv/bin/python
ln -sf '{testbay}' .venv/bin/testbay
"""
WITHOUT_ENGINE = ("ci.yml", "production-health-check.yml", "release.yml", "testbay.yml")


class Forge:
    """The repository in `root`, and where its workflows run."""

    def __init__(self, folder: Path, cloud: Cloud | None = None) -> None:
        self.folder = folder
        self.root = folder / "repository"
        self.runs = 0
        self.environ = {"PATH": f"{self._tools()}:{os.environ['PATH']}", "HOME": str(folder)}
        self.environ |= {name: value for name, value in os.environ.items() if name.startswith(_OF_THE_MACHINE)}
        self.environ |= {"TESTBAY_CACHE_DIR": str(folder / "cache")} | (cloud.aws if cloud else {})
        self.environ.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))
        self.environ.setdefault("DOCKER_CONFIG", str(Path.home() / ".docker"))
        self.oidc = (f"{cloud.url}/token?api-version=2.0", BEARER) if cloud else ("", "")
        self.variables: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.others: dict[str, Path] = {}  # repositories whose actions and workflows this one may use

    def _tools(self) -> Path:
        """What a runner has on PATH and this machine perhaps has not: a Python that is new enough, and uv."""
        tools = self.folder / "tools"
        tools.mkdir(parents=True)
        (tools / "python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
        (tools / "uv").symlink_to(Path(sys.executable).with_name("uv"))
        return tools

    def take(self, *names: str) -> None:
        """Copy files of this repository."""
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, self.root / name)

    def take_all(self) -> None:
        """Copy every file that git knows, or would know after `git add`."""
        call = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(call, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
        self.take(*(name for name in set(listed.split("\0")) if name and (REPOSITORY / name).is_file()))

    def use(self, engine: str) -> None:
        """Have the workflows name this engine, where they name compose. Nothing else in them is touched."""
        for file in self.root.glob(".github/workflows/*.yml"):
            text = file.read_text(encoding="utf-8")
            assert text.count("TESTBAY_ENGINE: compose") == (file.name not in WITHOUT_ENGINE)
            file.write_text(text.replace("TESTBAY_ENGINE: compose", f"TESTBAY_ENGINE: {engine}"), encoding="utf-8")

    def bootstrap(self, mutation: str = "", *, first: str = "", warm: bool = False) -> None:
        """Have .venv lead to the one that runs this test, or to another `testbay`; `first` is done before that.

        With `warm` both are forked, and their processes no children of the step's: not where a job's secrets are
        looked for.
        """
        python = Path(sys.executable)
        testbay = python.with_name("testbay")
        if mutation:
            testbay = self.folder / "testbay"
            testbay.write_text(f"#!{sys.executable}\n{mutation}\nfrom testbay.__main__ import main\nmain()\n", "utf-8")
            testbay.chmod(0o755)
        if warm:
            WARM_STEPS.lead(self.folder / "testbay", testbay)
            WARM_STEPS.lead(self.folder / "python", python, ending=".py")
            python, testbay = self.folder / "python", self.folder / "testbay"
        script = self.root / "scripts/bootstrap"
        script.write_text(BOOTSTRAP.format(first=first, python=python, testbay=testbay), encoding="utf-8")
        script.chmod(0o755)

    def service(self, name: str, *, manifest: str = "", tests: str = "") -> None:
        """A service: that of tests/system/project under another name, with these tests instead of its own."""
        folder = self.root / "services" / name
        shutil.copytree(TEMPLATE / "services/shop", folder)
        (folder / "testbay.toml").write_text(f'service = "{name}"\nmigrations = "migrations"\n{manifest}', "utf-8")
        runner = (REPOSITORY / "services/agent_executor/scripts/ci/run-tests.sh").read_text(encoding="utf-8")
        (folder / "scripts/ci").mkdir(parents=True)
        (folder / "scripts/ci/run-tests.sh").write_text(runner.replace("agent_executor", name), encoding="utf-8")
        (folder / "scripts/ci/run-tests.sh").chmod(0o755)
        (folder / "tests/integration/test_shop.py").write_text(tests, encoding="utf-8")

    def commit(self) -> str:
        """Everything as it is; the commit."""
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for argv in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
            subprocess.run(["git", *argv], cwd=self.root, check=True)
        return head(self.root)

    def run(
        self, name: str, *, since: str = "", event: str = "", payload: Mapping[str, Any] | None = None
    ) -> WorkflowRun:
        """A workflow, by its file's name, at the newest commit: pushed after another one, else by hand, or as named."""
        self.runs += 1
        workflow = load(self.root / ".github/workflows" / name)
        variables = {ENVIRONMENT: {"AWS_ROLE_ARN": ROLE, "AWS_REGION": "eu-central-1"}, "": self.variables}
        machine = Machine(environ=self.environ, oidc=self.oidc)
        repository = Repository(folder=self.root, variables=variables, secrets={"": self.secrets}, others=self.others)
        started = Event(
            name=event or ("push" if since else "workflow_dispatch"),
            sha=head(self.root),
            payload=payload or ({"before": since} if since else {}),
            run_id=str(4710 + self.runs),
        )
        assert started.name in workflow.events
        return Runner(workflow, started, repository, machine, self.folder / f"run-{self.runs}").run()

    def changed(self, since: str) -> list[str]:
        """The files that differ from that commit."""
        call = ["git", "diff", "--name-only", since, "HEAD"]
        return subprocess.run(call, cwd=self.root, check=True, capture_output=True, text=True).stdout.split()

    def leaks(self, run: WorkflowRun, secret: str) -> set[str]:
        """In which of these a form of the secret can be read: what people see, what later steps are given, what was
        uploaded, and what still lies on the runner's disk.
        """
        shown = self.folder / f"shown-{self.runs}"
        for number, job in enumerate(run.jobs):
            _write(shown / f"log/{number}", job.log.encode())
            _write(shown / f"summary/{number}", job.summary.encode())
            _write(shown / f"annotations/{number}", "\n".join(job.output.annotations).encode())
            _write(shown / f"environment/{number}", repr([step.environ for step in job.steps]).encode())
        for name, files in run.artifacts.items():
            for file, data in files.items():
                _write(shown / "artifacts" / name / file, data)
        (self.folder / f"run-{self.runs}").rename(shown / "disk")
        scan = Scan([secret])
        return {place.name for place in shown.iterdir() if any(map(scan.finds, filter(Path.is_file, place.rglob("*"))))}


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
