"""A shop that is deployed, the repository that watches it, and GitHub: all on loopback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import yaml
from tests.stepper.runner import WorkflowRun
from tests.stepper.tokens import may
from tests.system.fakes import git_host
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_github import NAME, OWNER, FakeGitHub, Fault
from tests.system.fakes.forge import Forge
from tests.system.fakes.tiers import TIER2

WORKFLOW = "production-health-check.yml"
BRANCH = "testbay-history"
MANIFEST = """
[target.production]
base_url = "${AGENT_EXECUTOR_URL}"
[[check]]
id = "health"
kind = "http"
get = "/api/health"
attempts = 1
expect = ["status == 200"]
[[check]]
id = "page"
kind = "http"
get = "/page"
attempts = 1
expect = ["status == 200"]
"""


class Production:
    """`run` is what the schedule starts."""

    def __init__(self, folder: Path, github: FakeGitHub, deployment: Deployment) -> None:
        self.github = github
        self.deployment = deployment
        self.origin = folder / OWNER / NAME
        subprocess.run(["git", "init", "-q", "--bare", self.origin], check=True)
        github.allows = may
        github.git = git_host.serve(folder, f"{OWNER}/{NAME}", may)
        self.forge = Forge(folder)
        self.forge.environ |= {"HASTE": "20", "GITHUB_API_URL": github.url, "GITHUB_SERVER_URL": github.url}
        self.forge.variables["AGENT_EXECUTOR_URL"] = f"http://127.0.0.1:{deployment.port}"
        self.forge.take(*(f"scripts/ci/{name}" for name in (*TIER2, "run-checks.sh", "checks.py")))
        self.forge.take(f".github/workflows/{WORKFLOW}")
        self.forge.bootstrap(warm=True)
        self.forge.service("shop", manifest=MANIFEST)
        self.forge.commit()

    def keep(self, *jobs: str) -> None:
        """Only these of the workflow, where nothing else is looked at."""
        file = self.forge.root / ".github/workflows" / WORKFLOW
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
        table["jobs"] = {name: table["jobs"][name] for name in jobs}
        file.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
        self.forge.commit()

    def run(self, *wrong: str) -> WorkflowRun:
        """Six hours later, with these faults of the deployment."""
        self.deployment.wrong = set(wrong)
        self.github.now = datetime.now(UTC)
        return self.forge.run(WORKFLOW, event="schedule")

    def run_without(self, call: int, *wrong: str) -> tuple[WorkflowRun, bool]:
        """The same while GitHub's API says 502 from this call of the run on; whether there were that many calls."""
        before = len(self.github.requests)

        def fail_from(_: str) -> None:
            if len(self.github.requests) - before == call:
                self.github.faults.append(Fault(pattern="", times=10_000))

        self.github.before = fail_from
        self.forge.environ["HASTE"] = "150"
        run = self.run(*wrong)
        self.forge.environ["HASTE"] = "20"
        self.github.before = lambda _: None
        reached = bool(self.github.faults)
        self.github.faults.clear()
        return run, reached

    def history(self) -> list[str]:
        """The titles of the commits on its branch, the newest first."""
        argv = ["git", "-C", str(self.origin), "log", "--format=%s", BRANCH, "--"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)  # without a branch it fails
        return done.stdout.splitlines()


@contextmanager
def production(folder: Path, github: FakeGitHub) -> Iterator[Production]:
    """Both, for as long as the block lasts."""
    with deployed() as deployment:
        yield Production(folder, github, deployment)
