"""AWS and GitHub's token endpoint on loopback: moto behind a proxy that writes down each call and can fail it.

moto is not AWS: it checks neither the token nor the trust policy, takes any role, and lets every caller do everything.
What a policy admits is tested in tests/repo/test_aws_policies.py; refusals come from the proxy.
"""

import base64
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import served
from tests.served import Handler
from tests.system.conftest import WARM_AWS, Done
from tests.warm import ONE_OUTPUT

from testbay import process

ROLE = "arn:aws:iam::123456789012:role/testbay-ci"
SUBJECT = "repo:zerotouch/platform:environment:ci-openai"
BEARER = "the-job's-own-credential"
CANARY = "".join(f"{secrets.token_urlsafe(30)}%{end}" for end in ("\n", "\r\n", ""))  # many lines, with a % in each
SHOW = "import os, json; print(json.dumps(dict(os.environ)))"
CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": SUBJECT}).encode()).decode().rstrip("=")
TOKEN = f"header.{CLAIMS}.signature"
TOLD = "what-only-the-provider-said"  # in the body of every refusal: nobody may repeat it


class Cloud:
    """Both providers; `calls` is what they were asked for, in order."""

    def __init__(self, moto_port: int) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[tuple[int, bytes]]] = {}
        self.token_answer = json.dumps({"value": TOKEN}).encode()
        self.token_requests: list[tuple[str | None, list[str]]] = []
        self.role_request: dict[str, list[str]] = {}
        self.signed_by: set[str] = set()  # the keys that Parameter Store was asked with
        self._moto_port = moto_port
        self.url = ""  # where both of them answer

    @property
    def aws(self) -> dict[str, str]:
        """AWS's standard variables: where it is."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}

    @property
    def job(self) -> dict[str, str]:
        """A GitHub job with `id-token: write`, and with credentials of no worth that must not be used."""
        return self.aws | {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER,
            "ACTIONS_RUNTIME_TOKEN": "another-credential",
            "AWS_ROLE_ARN": ROLE,
        }

    def admin(self, service: str) -> Any:
        """A client that may do everything, past the proxy."""
        import boto3  # the other tests in this folder do without

        session: Any = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-central-1")
        return session.client(service, endpoint_url=f"http://127.0.0.1:{self._moto_port}")

    def put(self, **parameters: str) -> None:
        """Store values under /shop/test/."""
        ssm = self.admin("ssm")
        for name, value in parameters.items():
            ssm.put_parameter(Name=f"/shop/test/{name}", Value=value, Type="SecureString", Overwrite=True)

    def fail(self, action: str, status: int, code: str, message: str = "", *, times: int = 99) -> None:
        """Have the next calls of an action refused."""
        text = f"{message} {TOLD}"
        body = json.dumps({"__type": code, "message": text}).encode()
        if action.startswith("Assume"):
            xml = f"<ErrorResponse><Error><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
            body = xml.encode()
        self.faults[action] = [(status, body)] * times

    def answer(self, action: str, request: Handler, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """A refusal that was asked for, or what the provider says."""
        self.calls.append(action)
        if refusals := self.faults.get(action):
            status, refusal = refusals.pop()
            return status, refusal, {"Content-Type": "application/x-amz-json-1.1"}
        if action == "token":
            query = parse_qs(urlsplit(request.path).query)
            self.token_requests.append((request.headers["Authorization"], query["audience"]))
            return 200, self.token_answer, {"Content-Type": "application/json"}
        if key := re.search(r"Credential=(\w+)/", request.headers.get("Authorization", "")):
            self.signed_by.add(key[1])
        else:
            self.role_request = parse_qs(body.decode())
        moto = http.client.HTTPConnection("127.0.0.1", self._moto_port, timeout=20)
        moto.request(request.command, request.path, body, dict(request.headers.items()))
        answer = moto.getresponse()
        content = answer.read()
        moto.close()
        return answer.status, content, {"Content-Type": answer.headers["Content-Type"]}


def _handler(cloud: Cloud) -> type[Handler]:
    class Answering(Handler):
        def do_POST(self) -> None:
            body = self.body()
            action = self.headers["X-Amz-Target"] or parse_qs(body.decode())["Action"][0]
            self.reply(*cloud.answer(action.rpartition(".")[2], self, body))

        def do_GET(self) -> None:
            self.reply(*cloud.answer("token", self, b""))

    return Answering


@contextmanager
def serving(moto_port: int) -> Iterator[Cloud]:
    """Both providers until the end of the block, in front of a moto that runs."""
    cloud = Cloud(moto_port)
    with served.serving(_handler(cloud)) as cloud.url:
        yield cloud


@contextmanager
def moto(folder: Path) -> Iterator[int]:
    """A moto server on a port of its own; yields that."""
    log = folder / "moto.log"
    with log.open("wb") as out:
        child = process.spawn([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], output=out)
    try:
        while not (said := re.search(r"Running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert child.poll() is None, log.read_text()
        yield int(said[1])
    finally:
        child.kill()
        child.wait()


class Shop:
    """A project with one service, `shop`, and nothing else in its environment."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.project = folder / "project"
        self.service = self.project / "services/shop"
        (self.service / "tests").mkdir(parents=True)
        self.reports = self.project / ".testbay/runs/1"
        self.reports.mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.home)}
        self.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | cloud.job
        self.secrets(KEY="/shop/test/key")

    def secrets(self, more: str = "", /, *, service: str = "shop", **names: str) -> None:
        """Write the manifest."""
        lines = [f'"{name}" = "{path}"' for name, path in names.items()]
        text = [f'service = "{service}"', "needs = []", 'tests = "tests"', "[secrets]", *lines, more]
        (self.service / "testbay.toml").write_text("\n".join(text))

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """`testbay with-secrets ARGUMENTS…`; both outputs in one pipe. A variable that is empty is not set."""
        env = {name: value for name, value in (self.environ | environ).items() if value}
        argv = [sys.executable, "-m", "testbay", "with-secrets", *arguments]
        return subprocess.Popen(argv, cwd=self.project, env=env, text=True, **ONE_OUTPUT)

    def run(self, *arguments: str, **environ: str) -> Done:
        """Run it to its end."""
        env = {name: value for name, value in (self.environ | environ).items() if value}
        done = WARM_AWS.run(["with-secrets", *arguments], cwd=self.project, environ=env)
        return Done(done.returncode, done.stdout)

    def type(self, script: str) -> Done:
        """A script at a shell's prompt, outside of any job."""
        env = {name: self.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "AWS_EC2_METADATA_DISABLED")}
        argv = ["bash", "-ec", script]
        done = subprocess.run(argv, cwd=self.project, env=env, text=True, check=False, **ONE_OUTPUT)
        return Done(done.returncode, done.stdout)

    def python(self, code: str, **environ: str) -> Done:
        """Run a line of Python with the secrets."""
        return self.run("shop", "--", sys.executable, "-c", code, **environ)

    def seen(self, **environ: str) -> dict[str, str]:
        """The environment that a command finds."""
        done = self.python(SHOW, **environ)
        assert done.code == 0, done.out
        return dict(json.loads(done.lines[-1]))
