"""What is installed of a project in CI: what its files name, by a pip that can."""

from pathlib import Path

import pytest
import yaml
from tests.unit.init.conftest import add

from testbay import process
from testbay.init import installing, itself, workflow
from testbay.init.project import Project

APP = '[project]\nname = "a"\nversion = "1"\ndependencies = ["fastapi>=0.1"]\n'
EXTRA = '[project.optional-dependencies]\ntest = ["pytest"]\n'
BUILT = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
GROUPS = """[dependency-groups]
dev = ["ruff", {include-group = "other"}]
other = ["mypy", "ruff", {include-group = "dev"}]
"""
POETRY = """
[tool.poetry.dependencies]
python = "^3.11"
psycopg = {version = "^3.1", extras = ["binary"]}
[tool.poetry.group.test.dependencies]
respx = "*"
ours = {path = "../ours"}
"""
UV = "python -m pip install uv && uv pip install --system"
PIP = "python -m pip install"


@pytest.fixture
def from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let testbay have come from an index."""
    monkeypatch.setattr(itself, "requirement", lambda: "'testbay[embedded]'")


def test_ci_installs_no_stranger_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI cannot reach what is installed here, the line is one that fails until it is filled in."""
    monkeypatch.setattr(itself, "requirement", lambda: None)
    (tmp_path / "testbay.toml").touch()

    text = workflow.text(Project(root=tmp_path))

    assert "run: python -m pip install 'testbay[embedded] @ git+https://HOST/OWNER/testbay@COMMIT'\n" in text


@pytest.mark.usefixtures("from_an_index")
@pytest.mark.parametrize(
    ("text", "folders", "packages", "line"),
    [
        pytest.param(APP + EXTRA + BUILT, "a b", "-e '.[test]'", f"{PIP} -e '.[test]'", id="a-build-system"),
        pytest.param(APP, "a tests docs", "-e .", f"{PIP} -e .", id="one-package-beside-tests"),
        pytest.param(APP, "src", "-e .", f"{PIP} -e .", id="src"),
        pytest.param(
            APP + EXTRA,
            "a alembic",
            "'fastapi>=0.1' pytest",
            f"{UV} -r pyproject.toml --extra test",
            id="an-app-that-no-pip-builds",
        ),
        pytest.param(
            APP + "[tool.uv]\npackage = false\n",
            "a",
            "'fastapi>=0.1'",
            f"{UV} -r pyproject.toml",
            id="uv-says-no-package",
        ),
        pytest.param(
            APP + "[tool.poetry]\npackage-mode = false\n[build-system]\nrequires = ['x']\n",
            "a",
            "'fastapi>=0.1'",
            f"{UV} -r pyproject.toml",
            id="poetry-says-no-package",
        ),
        pytest.param(APP + GROUPS, "a", "-e . ruff mypy", f"{UV} -e . --group dev", id="groups"),
        pytest.param("", "a b", "", PIP, id="nothing-is-named"),
        pytest.param(
            APP + "[tool.uv.sources]\nfastapi = {workspace = true}\n", "a", "-e .", f"{UV} -e .", id="a-workspace"
        ),
    ],
)
def test_a_project_is_installed_as_its_files_say(
    tmp_path: Path, text: str, folders: str, packages: str, line: str
) -> None:
    """The packages of today for the action, and a line for a workflow that stays true."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    (tmp_path / "testbay.toml").touch()
    for name in folders.split():
        (tmp_path / name).mkdir()
    project = Project(root=tmp_path)

    assert installing.arguments(project) == packages
    assert f"run: {line} 'testbay[embedded]'\n" in workflow.text(project)


@pytest.mark.usefixtures("from_an_index")
@pytest.mark.parametrize("lock", ["uv.lock", "../uv.lock"])
def test_the_versions_of_uv_lock_count(tmp_path: Path, lock: str) -> None:
    """Also those of the workspace's lock, above the package; those of a lock above the repository do not."""
    text = f"{APP}{EXTRA}{BUILT}{GROUPS}"
    for file in ("repository/.git/HEAD", "repository/a/testbay.toml", f"repository/a/{lock}", "uv.lock"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "repository/a/pyproject.toml").write_text(text, encoding="utf-8")
    project = Project(root=tmp_path / "repository/a")

    written = workflow.text(project)
    (project.root / lock).unlink()

    locked = '"$RUNNER_TEMP/locked.txt"'
    export = f"uv export --quiet --frozen --no-emit-workspace --no-hashes -o {locked} --extra test --group dev"
    install = f"{UV} -c {locked} -e '.[test]' --group dev 'testbay[embedded]'\n"
    assert f"run: {install}".replace("uv && uv", f"uv && {export} && uv") in written
    assert "uv export" not in workflow.text(project)


@pytest.mark.usefixtures("from_an_index")
@pytest.mark.parametrize(
    ("lock", "exported"),
    [
        (
            "poetry.lock",
            "poetry export --quiet --format constraints.txt --without-hashes --all-groups --all-extras -o ",
        ),
        ("pdm.lock", "uvx pdm export --quiet --no-hashes -o "),
        ("Pipfile.lock", "uvx pipenv requirements --dev > "),
        ("requirements.txt", ""),
    ],
)
def test_the_versions_of_other_locks_count(project: Project, lock: str, exported: str) -> None:
    """Each is written down by its own tool; of hashes in requirements pip would want one of testbay, too."""
    install = workflow.text(add(project, {lock: "a==1 --hash=sha256:0", "testbay.toml": ""})).partition("run: ")[2]

    locked = '"$RUNNER_TEMP/locked.txt"'
    words = f"-c {locked}" if exported else "-r requirements.txt"
    assert install.startswith("python -m pip install uv && ")
    assert f"{exported}{locked} && " in install or not exported
    assert f"uv pip install --system {words} 'testbay[embedded]'\n" in install


def test_an_extra_that_alone_brings_what_is_imported_is_installed(project: Project) -> None:
    """However it is called; the smallest one, and none for what may be missing."""
    extras = "pg = ['psycopg']\nall = ['psycopg', 'x']\ncache = ['redis']\ntest = ['pytest']"
    files = {"a/b.py": "import psycopg, fastapi\ntry:\n    import redis\nexcept ImportError: ...\n"}
    found = add(project, files | {"pyproject.toml": f"{APP}{BUILT}[project.optional-dependencies]\n{extras}\n"})

    assert installing.arguments(found) == "-e '.[test,pg]'"


@pytest.mark.parametrize(
    ("name", "text", "packages"),
    [
        ("pyproject.toml", POETRY, "'psycopg[binary]>=3.1,<4' respx"),
        ("pyproject.toml", f'{BUILT}[tool.poetry.dev-dependencies]\nrespx = "1.2"\n', "respx==1.2 -e ."),
        ("Pipfile", '[packages]\npsycopg = "*"\n[dev-packages]\nrespx = "~=1.2"\n', "psycopg 'respx~=1.2'"),
        ("pyproject.toml", '[tool.pdm.dev-dependencies]\ntest = ["respx>1", "-e ../ours"]\n', "'respx>1'"),
        ("pyproject.toml", '[tool.uv]\ndev-dependencies = ["respx"]\n', "respx"),
        ("pyproject.toml", '[tool.hatch.envs.default]\ndependencies = ["respx"]\n', "respx"),
    ],
)
@pytest.mark.usefixtures("from_an_index")
def test_what_only_another_tool_reads_is_installed_too(tmp_path: Path, name: str, text: str, packages: str) -> None:
    """With versions as pip has them; what lies beside the project is left to it."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "testbay.toml").touch()
    project = Project(root=tmp_path)

    assert installing.arguments(project) == packages
    assert f" install {packages} 'testbay[embedded]'\n" in workflow.text(project)


@pytest.mark.usefixtures("from_an_index")
@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("requirements.txt", "x\ntestbay[embedded] @ git+https://h/o/testbay@1\n", f"{PIP} -r requirements.txt\n"),
        ("pyproject.toml", "[dependency-groups]\ndev = ['testbay>=0.1']\n", f"{UV} --group dev\n"),
        ("requirements.txt", "testbay-x\n", f"{PIP} -r requirements.txt 'testbay[embedded]'\n"),
    ],
)
def test_testbay_is_installed_from_where_the_project_says(tmp_path: Path, name: str, text: str, line: str) -> None:
    """No installer takes one package from two places."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "testbay.toml").touch()

    assert f"run: {line}" in workflow.text(Project(root=tmp_path))


@pytest.mark.parametrize(
    ("files", "branch"),
    [
        ({".git/HEAD": "ref: refs/heads/trunk\n"}, "trunk"),
        ({".git/HEAD": "ref: refs/heads/feature/login\n"}, "main"),
        ({".git/HEAD": "ref: refs/heads/fix\n", ".git/packed-refs": "0a refs/heads/master\n"}, "master"),
        ({".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/release/2.x\n"}, "release/2.x"),
    ],
)
def test_the_workflow_runs_on_the_default_branch(tmp_path: Path, files: dict[str, str], branch: str) -> None:
    """Which is not the one that someone works on."""
    for name, text in {"testbay.toml": "", ".git/refs/heads/x": "", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert f"    branches: [{branch}]\n" in workflow.text(Project(root=tmp_path))


def test_a_file_with_a_strange_name_is_quoted(tmp_path: Path) -> None:
    """The line is read by a shell."""
    (tmp_path / "requirements dev;id.txt").touch()

    assert installing.arguments(Project(root=tmp_path)) == "-r 'requirements dev;id.txt'"


def test_the_workflow_of_a_folder_is_at_the_repositorys_root(tmp_path: Path) -> None:
    """GitHub looks nowhere else; the steps run in the folder, and the paths of others begin at the root."""
    folder = tmp_path / "back end/api"
    folder.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/trunk\n", encoding="utf-8")
    for name in ("testbay.toml", "docker-compose.test.yml", "requirements.txt"):
        (folder / name).touch()
    project = Project(root=folder)

    text = workflow.text(project)
    made = yaml.safe_load(text)
    steps = made["jobs"]["integration"]["steps"]

    assert workflow.file(project) == tmp_path / ".github/workflows/testbay-back end-api.yml"
    assert made["name"] == "testbay back end api"
    assert made["defaults"]["run"] == {"shell": "bash", "working-directory": "back end/api"}
    assert made[True]["push"]["branches"] == ["trunk"]
    assert steps[1]["with"]["cache-dependency-path"] == "back end/api/requirements.txt\n"
    assert steps[4]["with"]["path"] == "back end/api/.testbay/runs/"


def test_variables_that_only_this_machine_has_are_named(tmp_path: Path) -> None:
    """A .env that git does not keep gives them here, and nothing in CI; a default stands where the file gives none."""
    (tmp_path / ".env").write_text("A=1\nexport B=2\nC=3\nD=4\nE=5\n", encoding="utf-8")
    file = tmp_path / "compose.yml"
    file.write_text("${A} $B ${C:-x} ${D:?no} ${ E }", encoding="utf-8")
    home = workflow.left_at_home([file])
    for words in (["init", "-q"], ["add", "-f", ".env"]):
        assert process.run(["git", "-C", tmp_path, *words]).code == 0

    assert (home, workflow.left_at_home([file])) == (["A", "B", "D"], [])
