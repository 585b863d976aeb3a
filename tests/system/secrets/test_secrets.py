"""`testbay with-secrets` through real sockets: GitHub's token endpoint, STS and Parameter Store answer on loopback.

The real command reads the standard variables; moto's server plays AWS (what it does not check: fakes/cloud.py).
"""

import json
import resource
import signal
import sys
from pathlib import Path

import pytest
from tests.system.conftest import read_until
from tests.system.fakes.cloud import BEARER, CANARY, ROLE, TOKEN, Cloud, Shop
from tests.system.fakes.pages import files, page, sessions

HOLD = "import sys, time; print('ready', flush=True); time.sleep(60)"


def test_a_job_gets_its_secret_and_nothing_that_leads_to_it(shop: Shop, cloud: Cloud) -> None:
    """Token, role, parameter: one call each; the command sees the value, and no credential that fetched it."""
    seen = shop.seen(AWS_ACCESS_KEY_ID="static", AWS_SECRET_ACCESS_KEY="static", OTHER="stays")

    assert cloud.calls == ["token", "AssumeRoleWithWebIdentity", "GetParameters"]
    assert cloud.token_requests == [(f"bearer {BEARER}", ["sts.amazonaws.com"])]
    assert (seen["KEY"], seen["OTHER"]) == (CANARY, "stays")
    assert [name for name in seen if name.startswith(("AWS_", "ACTIONS_"))] == []


def test_the_role_is_taken_for_minutes_and_used(shop: Shop, cloud: Cloud) -> None:
    """The shortest session that AWS gives, named after the run; keys that lie about are not used beside it."""
    shop.seen(GITHUB_RUN_ID="4711", AWS_ACCESS_KEY_ID="static", AWS_SECRET_ACCESS_KEY="static")

    asked = {name: cloud.role_request[name] for name in ("RoleArn", "RoleSessionName", "DurationSeconds")}
    assert asked == {"RoleArn": [ROLE], "RoleSessionName": ["testbay-4711"], "DurationSeconds": ["900"]}
    assert cloud.role_request["WebIdentityToken"] == [TOKEN]
    assert [key[:4] for key in cloud.signed_by] == ["ASIA"]  # as AWS names keys that end by themselves


def test_the_exit_code_is_the_command_s(shop: Shop) -> None:
    """Also where a signal ended it; what cannot be started at all is the caller's mistake."""
    assert shop.python("raise SystemExit(7)").code == 7
    assert shop.python("import os; os.kill(os.getpid(), 9)").code == 128 + 9
    assert shop.run("shop", "--", "no-such-program").code == 10


def test_a_crash_dumps_no_memory(shop: Shop) -> None:
    """A core file would hold every secret, in a folder that may be uploaded."""
    allowed = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (allowed[1], allowed[1]))
    try:
        done = shop.python("import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, allowed)

    assert done.lines[-1] == "0"


def test_the_service_can_be_left_out(shop: Shop) -> None:
    """What follows the first -- is the command, its own -- too."""
    assert shop.run("--", "echo", "--", "shop", "--help").lines[-1] == "-- shop --help"
    assert shop.run("shop").code == 2


def test_many_parameters_take_few_calls(shop: Shop, cloud: Cloud) -> None:
    """Ten names in a call, a folder in pages; a name beats a folder, and nothing is asked for twice."""
    names = {f"KEY_{n}": f"value-of-{n:02}" for n in range(11)}
    cloud.put(**{f"many/{name}": value for name, value in names.items()}, **{"many/to/deep": "not in this folder"})
    paths = {name: f"/shop/test/many/{name}" for name in names}
    shop.secrets(APP_KEY_0=paths["KEY_1"], SAME=paths["KEY_1"], **{"APP_*": "/shop/test/many/*"}, **paths)

    seen = shop.seen()

    assert cloud.calls[2:] == ["GetParameters"] * 2 + ["GetParametersByPath"] * 2
    assert {name: seen[name] for name in names} == names
    assert {seen["APP_KEY_0"], seen["APP_KEY_1"], seen["SAME"]} == {"value-of-01"}
    assert (seen["APP_KEY_10"], "APP_DEEP" in seen) == ("value-of-10", False)


def test_keys_in_the_environment_do_without_a_token(shop: Shop, cloud: Cloud) -> None:
    """Where no job offers a token, boto3's own chain finds the credentials."""
    seen = shop.seen(
        GITHUB_ACTIONS="", ACTIONS_ID_TOKEN_REQUEST_URL="", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"
    )

    assert (cloud.calls, cloud.signed_by) == (["GetParameters"], {"a"})
    assert seen["KEY"] == CANARY


def test_a_profile_does_too(shop: Shop, cloud: Cloud) -> None:
    """Keys and region of a named profile, as `aws configure` writes them."""
    (shop.home / ".aws").mkdir()
    profile = "[profile dev]\naws_access_key_id = a\naws_secret_access_key = b\nregion = eu-central-1\n"
    (shop.home / ".aws/config").write_text(profile)

    seen = shop.seen(ACTIONS_ID_TOKEN_REQUEST_URL="", AWS_PROFILE="dev", AWS_REGION="")

    assert cloud.calls == ["GetParameters"]
    assert seen["KEY"] == CANARY


def test_at_home_the_environment_is_enough(shop: Shop, cloud: Cloud) -> None:
    """--from-env asks nobody, and keeps the same promises."""
    shop.secrets(KEY="/shop/test/key", **{"APP_*": "/shop/test/*"})
    done = shop.run("--from-env", "shop", "--", "sh", "-c", "echo $KEY $APP_ONE", KEY="from-me-1", APP_ONE="from-me-2")

    assert (done.code, done.lines[-1]) == (0, "from-me-1 from-me-2")
    assert cloud.calls == []


@pytest.mark.parametrize("region", ["AWS_REGION", "AWS_DEFAULT_REGION", "manifest"])
def test_role_and_region_come_from_variables_or_the_manifest(shop: Shop, region: str) -> None:
    """Either variable will do, though boto3 itself knows only one of them; the manifest is asked last."""
    shop.secrets(f'[aws]\nrole = "{ROLE}"\nregion = "eu-central-1"', KEY="/shop/test/key")
    environ = {"AWS_REGION": "", "AWS_ROLE_ARN": ""} | ({} if region == "manifest" else {region: "eu-central-1"})

    assert shop.seen(**environ)["KEY"] == CANARY


def test_the_secret_is_in_the_environment_alone(shop: Shop) -> None:
    """While the command runs, no command line has the value, no file has it or the token, and none is left."""
    look = """
import os, pathlib
def readable(file):
    try: return file.read_bytes()
    except OSError: return b""
folders = [pathlib.Path(os.environ["HOME"]), pathlib.Path.cwd()]
files = [f for folder in folders for f in folder.rglob("*") if f.is_file()]
commands = list(pathlib.Path("/proc").glob("[0-9]*/cmdline"))
words = [os.environ["KEY"].split()[0].encode(), os.environ["TOKEN"].encode()]
print([str(f) for f in files + commands if any(word in readable(f) for word in words)])
print(sorted(f.name for f in files))
"""
    done = shop.python(look, TOKEN=TOKEN)

    assert done.lines[-2:] == ["[]", "['testbay.toml']"]


def test_only_a_github_job_is_told_what_to_mask(shop: Shop) -> None:
    """There it is the first thing said, line breaks escaped; elsewhere nothing is printed."""
    escaped = CANARY.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    assert shop.python("pass").lines[0] == f"::add-mask::{escaped}"
    assert shop.python("pass", GITHUB_ACTIONS="", **keys).lines == ["    secrets: KEY (/shop/test/key)"]


LEAK = """
import base64, os, pathlib
key = os.environ["KEY"].encode()
encoded = base64.b64encode(b"." + key)
for name, content in {"clean": b"nothing", "junit.xml": b"E " + key.split()[1], "deep/coverage.db": encoded}.items():
    file = pathlib.Path(os.environ["REPORTS"], name)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
raise SystemExit(int(os.environ["CODE"]))
"""


@pytest.mark.parametrize("code", ["0", "1"])
def test_a_report_with_a_secret_is_removed_and_said(shop: Shop, code: str) -> None:
    """A form of one line is enough; the file is gone before it can be uploaded, the run is red, the others stay."""
    done = shop.python(LEAK, REPORTS=str(shop.reports), CODE=code)

    assert done.code == 17
    assert [line for line in done.lines if line.startswith("error")] == [
        "error: a secret was found in 2 of the reports: removed"
    ]
    assert {line.split("/")[-1] for line in done.lines if "/.testbay/" in line} == {"junit.xml", "coverage.db"}
    assert [file.name for file in shop.reports.rglob("*") if file.is_file()] == ["clean"]


def test_what_later_steps_would_read_is_emptied(shop: Shop, tmp_path: Path) -> None:
    """A job's later steps and its summary page get what a step writes into GitHub's files: not a secret."""
    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.write_text("before")
    done = shop.python(
        "import os; [open(os.environ[n], 'a').write(os.environ['KEY']) for n in ('GITHUB_ENV', 'GITHUB_STEP_SUMMARY')]",
        **{name: str(file) for name, file in files.items()},
    )

    assert done.code == 17
    assert {name: file.read_text() for name, file in files.items()} == {
        "GITHUB_ENV": "",
        "GITHUB_OUTPUT": "before",
        "GITHUB_STEP_SUMMARY": "",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command(shop: Shop, number: signal.Signals) -> None:
    """The command gets it once, ends as it likes, and its reports are searched all the same."""
    code = f"""
import os, pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path(r"{shop.reports}/late").write_text(os.environ["KEY"])
    print("stopped by", signal.Signals(number).name)
    sys.exit(3)
signal.signal({int(number)}, stop)
{HOLD}"""
    child = shop.start("shop", "--", sys.executable, "-c", code)
    said = read_until(child, "ready")
    child.send_signal(number)
    said += child.communicate(timeout=60)[0]

    assert said.count(f"stopped by {number.name}") == 1
    assert (child.returncode, list(shop.reports.iterdir())) == (17, [])


def test_a_command_does_not_outlive_us(shop: Shop) -> None:
    """Killed without a word, we still take it with us: its pipe ends."""
    child = shop.start("shop", "--", sys.executable, "-c", HOLD)
    read_until(child, "ready")
    child.kill()

    assert child.communicate(timeout=60)[0] == ""


def test_the_rehearsal_without_an_account_works(shop: Shop, moto_port: int) -> None:
    """The commands of docs/aws-setup.md, as a reader would type them; only moto runs already."""
    rehearsal = page("aws-setup.md").partition("A rehearsal without an account")[2].partition("\n## ")[0]
    commands = [command for command, _ in sessions(rehearsal) if "moto_server" not in command and command != "kill %1"]
    script = "\n".join(commands).replace("127.0.0.1:5055", f"127.0.0.1:{moto_port}")
    script = script.replace(".venv/bin/python", sys.executable).replace("testbay ", f"{sys.executable} -m testbay ")
    shop.secrets(service="agent_executor", OPENAI_API_KEY="/zerotouch/prod/agent-executor/openai_api_key")

    done = shop.type(script)

    assert done.lines[-1] == "the key has 11 characters"
    assert len(commands) == 4


def test_aws_takes_the_policies_of_the_page(cloud: Cloud) -> None:
    """They are policies by AWS's grammar, as far as moto can tell; tests/repo asks what they admit."""
    shown = files(page("aws-setup.md"))
    iam = cloud.admin("iam")
    iam.create_role(RoleName="testbay-ci", AssumeRolePolicyDocument=shown["trust.json"], MaxSessionDuration=3600)
    iam.put_role_policy(RoleName="testbay-ci", PolicyName="read", PolicyDocument=shown["read.json"])

    assert iam.get_role_policy(RoleName="testbay-ci", PolicyName="read")["PolicyDocument"] == json.loads(
        shown["read.json"]
    )
