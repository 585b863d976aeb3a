"""The checks before a merge: as a workflow and as one command, on a small repository."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.forge import Forge
from tests.system.fakes.tiers import TIER2

WORKFLOW = "production-readiness.yml"
GREEN = dict.fromkeys(["list", "check", "required-checks"], "success")
LEFT_OUT = GREEN | {"check": "skipped"}
SERVED = 'start = "python -m http.server {port} --bind 127.0.0.1"\nready = "/"\n'
TARGET = '[target.production]\nbase_url = "${NAME_URL}"\n'
PRESENT = '[[check]]\nid = "answers"\nkind = "http"\nget = "/"\nexpect = ["status == 200"]\n'
ABSENT = '[[check]]\nid = "route-exists"\nkind = "http"\nget = "/orders"\nattempts = 1\nexpect = ["status == 200"]\n'
EXAMPLE = '[[check]]\nid = "example"\nkind = "env"\nsource = ".env.example"\nrequired = ["DATABASE_URL"]\n'
ELSEWHERE = '[[check]]\nid = "secret"\nkind = "env"\nsource = ".env.production"\nrequired = ["DATABASE_URL"]\n'


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A repository with the real scripts; at the end nothing may be left of what its workflow started."""
    forge = Forge(tmp_path)
    forge.take(f".github/workflows/{WORKFLOW}", "docker-compose.test.yml")
    forge.take(*(f"scripts/ci/{name}" for name in (*TIER2, "run-checks.sh", "checks.py")))
    forge.bootstrap(warm=True)
    bay = Bay(tmp_path, tmp_path / "cache")
    bay.name = "nobody's"  # others on this machine have services of the same name
    yield forge
    assert bay.left() == []


def example(forge: Forge, name: str, text: str) -> None:
    (forge.root / "services" / name / ".env.example").write_text(text, encoding="utf-8")


def call(forge: Forge, *arguments: str, **environ: str) -> tuple[int, list[str], list[str]]:
    """The script as it is typed: its exit code, what it answers and what it says beside that."""
    argv = [str(forge.root / "scripts/ci/run-checks.sh"), *arguments]
    whole = {**forge.environ, **environ}
    done = subprocess.run(argv, env=whole, cwd="/", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.timeout(300)  # the first containers of a machine take their time
def test_a_check_that_fails_before_the_merge_is_red_and_named(forge: Forge, engine: str) -> None:
    """The service answers on its lease, a route that it has not does not, and the example lacks a variable."""
    forge.use(engine)
    forge.service("shop", manifest=SERVED + TARGET + PRESENT + ABSENT + EXAMPLE + ELSEWHERE)
    example(forge, "shop", "DATABASE_URL=\n")
    forge.commit()

    run = forge.run(WORKFLOW)

    assert run.results == GREEN | {"check": "failure", "required-checks": "failure"}, run.log
    summary = run.job("check (shop)").summary
    assert "| **FAIL** | <code>route-exists</code> | <code>status == 200: 404 is not == 200</code> |" in summary
    assert "| pass | <code>answers</code> |" in summary
    assert "| **FAIL** | <code>example</code> | <code>DATABASE_URL is empty in .env.example</code> |" in summary
    assert "secret" not in summary
    assert {file.split("/")[0] for file in run.artifacts["readiness-shop"]} >= {"checks", "runs"}


def test_a_change_asks_the_services_that_it_concerns(forge: Forge) -> None:
    """One that has no checks is not among them; where none is left, the required check is green."""
    forge.use("embedded")
    forge.service("shop", manifest=SERVED + PRESENT)
    forge.service("billing")
    before = forge.commit()
    forge.service("orders", manifest=EXAMPLE)
    example(forge, "orders", "DATABASE_URL=postgresql://db/orders\n")
    between = forge.commit()
    (forge.root / "services/billing/README.md").write_text("A page.", encoding="utf-8")
    forge.commit()

    assert [job.name for job in forge.run(WORKFLOW, since=before).jobs][1:-1] == ["check (orders)"]
    assert forge.run(WORKFLOW, since=between).results == LEFT_OUT


def test_one_command_asks_them_all(forge: Forge) -> None:
    """What fails does not keep the rest from being asked, and its exit code is the command's."""
    for name, value in (("billing", ""), ("orders", "x"), ("shop", "")):
        forge.service(name, manifest=EXAMPLE)
        example(forge, name, f"DATABASE_URL={value}\n")

    code, said, _ = call(forge)

    assert code == 20
    assert [line for line in said if line.startswith("==>")] == [
        f"==> testbay check {name} --phase pre-deploy --id example" for name in ("billing", "orders", "shop")
    ]
    assert call(forge, "orders")[0] == 0


def test_without_checks_there_is_nothing_to_ask(forge: Forge) -> None:
    """A service that has none is no failure."""
    forge.service("shop")

    assert call(forge)[:2] == (0, [])
    assert call(forge, "--list")[:2] == (0, ["[]"])


SCHEDULED = '[[check]]\nid = "a"\nkind = "env"\nphases = ["scheduled"]\nrequired = ["A"]\n'


@pytest.mark.parametrize(
    ("manifest", "listed"),
    [
        pytest.param(TARGET + PRESENT, True, id="http-by-its-kind"),
        pytest.param(TARGET + SCHEDULED, True, id="env-because-it-says-so"),
        pytest.param(TARGET + EXAMPLE, False, id="env-by-its-kind"),
        pytest.param(TARGET + PRESENT + 'phases = ["pre-merge"]\n', False, id="http-that-says-otherwise"),
        pytest.param(TARGET + PRESENT + 'without = ["postgres"]\n', False, id="on-a-lease-alone"),
        pytest.param(PRESENT, False, id="no-deployment"),
    ],
)
def test_a_deployment_is_listed_when_something_is_asked_of_it(forge: Forge, manifest: str, *, listed: bool) -> None:
    """On a schedule; testbay itself would ask the same checks."""
    forge.service("shop", manifest=manifest)

    answer = '[{"service":"shop","target":"production"}]' if listed else "[]"
    assert call(forge, "--list-deployments", NAME_URL="http://127.0.0.1:1") == (0, [answer], [])


def test_a_manifest_that_is_wrong_is_an_error(forge: Forge) -> None:
    """As testbay says it: nothing is left out because of a slip of the pen."""
    forge.service("shop", manifest=TARGET + PRESENT.replace("kind", "sort"))

    code, answer, said = call(forge, "--list-deployments")

    assert (code, answer, said[0].startswith("error: services/shop/testbay.toml")) == (10, [], True), said


def test_a_deployment_without_an_address_is_named(forge: Forge) -> None:
    """With the variable that it lacks; the others are listed all the same."""
    other = '[target.staging]\nbase_url = "https://staging.example.invalid"\n'
    forge.service("shop", manifest=TARGET + other + PRESENT)

    assert call(forge, "--list-deployments") == (
        0,
        ['[{"service":"shop","target":"staging"}]'],
        ["checks: shop on production is not checked: the variable NAME_URL is not set (docs/ci.md)"],
    )


@pytest.mark.parametrize("arguments", [["--list", "x"], ["--list-deployments", "x"], ["--lis"], ["nobody"]])
def test_what_is_not_known_is_refused(forge: Forge, arguments: list[str]) -> None:
    """An option or a service: code 10, and nothing is asked."""
    forge.service("shop")

    assert call(forge, *arguments)[:2] == (10, [])
