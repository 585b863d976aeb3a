import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.boxes import build
from tests.system.fakes.pages import files, page, write

UV = Path(sys.executable).with_name("uv")
TESTS = """
import os, socket, pytest

@pytest.mark.parametrize("number", range(3))
def test_new_for_every_test(bay, number):
    endpoint = bay.slot("memcached").endpoint
    assert os.environ["MEMCACHED_URL"] == f"localhost:{endpoint.port}"
    with socket.create_connection((endpoint.host, endpoint.port)) as client, client.makefile("rb") as answers:
        client.sendall(b"get key\\r\\nset key 0 0 3\\r\\nold\\r\\n")
        assert [answers.readline(), answers.readline()] == [b"END\\r\\n", b"STORED\\r\\n"]

def test_that_fails(bay):
    endpoint = bay.slot("memcached").endpoint
    with socket.create_connection((endpoint.host, endpoint.port)) as client, client.makefile("rb") as answers:
        client.sendall(b"set left 0 0 5\\r\\nvalue\\r\\n")
        assert answers.readline() == b"the evidence"
"""
ASK = "import os,socket; s=socket.create_connection(os.environ['MEMCACHED_URL'].split(':')); "
ASK += "s.sendall(b'get left\\r\\n'); print(s.recv(99))"
pytestmark = pytest.mark.memcached


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of docs/add-a-dependency.md, built from the page and installed into a folder of its own."""
    source = tmp_path_factory.mktemp("source")
    for name, content in files(page("add-a-dependency.md")).items():
        write(source / name, content)
    into = tmp_path_factory.mktemp("installed")
    argv: list[str | Path] = [
        UV,
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--no-build-isolation",
        "--python",
        sys.executable,
    ]
    subprocess.run([*argv, "--target", into, source / "testbay-memcached"], check=True, capture_output=True)
    return into


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same Memcached in an image, on the file system of one that is there."""
    context = tmp_path_factory.mktemp("image")
    program = shutil.which("memcached")
    assert program
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    [library] = re.findall(r"=> (\S*libevent-\S+)", linked)
    shutil.copy(program, context)
    shutil.copy(library, context)
    base = os.environ["NATS_IMAGE"]
    lines = [f"FROM {base}", f"COPY {Path(library).name} /usr/lib/", "COPY memcached /usr/bin/", "USER nobody"]
    write(context / "Dockerfile", "\n".join([*lines, 'ENTRYPOINT ["memcached"]', "EXPOSE 11211", ""]))
    name = f"memcached:testbay-{os.getpid()}"
    build("--tag", name, str(context))
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, capture_output=True)


@pytest.mark.parametrize("engine", ["embedded", pytest.param("compose", marks=pytest.mark.compose)])
def test_a_package_brings_a_dependency(bay: Bay, package: Path, engine: str, request: pytest.FixtureRequest) -> None:
    """It is started, asked, leased to each test, and what a failed test left in it is opened again."""
    image = request.getfixturevalue("image") if engine == "compose" else "memcached:1.6"
    bay.use(engine)
    bay.environ["PYTHONPATH"] = str(package)
    write(bay.project / "docker-compose.test.yml", f"services:\n  cache:\n    image: {image}\n")
    write(bay.service / "testbay.toml", 'service = "shop"\nneeds = ["memcached"]\n')
    bay.tests(TESTS)

    tested = bay.run("run", "shop")
    opened = bay.run("open", "--", sys.executable, "-c", ASK)

    assert re.search(rf"Memcached: Running on port \d+ \(1\.[\d.]+, {engine}", tested.out), tested.out
    assert (tested.code, "Tests: 3 passed, 1 failed" in tested.out) == (1, True), tested.out
    assert (opened.code, "VALUE left 0 5" in opened.lines[-1]) == (0, True), opened.out


def test_without_the_package_its_name_is_unknown(bay: Bay) -> None:
    """The message says which dependencies there are."""
    write(bay.service / "testbay.toml", 'service = "shop"\nneeds = ["memcached"]\n')

    done = bay.run("run", "shop")

    assert (done.code, "memcached" in done.out, "postgres, dragonfly, nats" in done.out) == (10, True, True), done.out
