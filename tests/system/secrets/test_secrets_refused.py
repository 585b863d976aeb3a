"""Each way in which a secret cannot be had, brought about by a gap in the job's set-up or by the proxy before moto."""

import os
import re
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from botocore.exceptions import EndpointConnectionError, SSLError
from tests.system.conftest import Done
from tests.system.fakes.cloud import CANARY, ROLE, SUBJECT, TOLD, Cloud, Shop

from testbay import settings
from testbay.errors import SecretMissingError
from testbay.manifest.load import load_manifest
from testbay.secrets import command as secrets
from testbay.secrets.aws import refusals

NO_JOB = {"GITHUB_ACTIONS": "", "ACTIONS_ID_TOKEN_REQUEST_URL": ""}
NOT_SET_UP = "AWS is not set up in a way that can be used ({})"
CONFIG = f"""
[profile web]
role_arn = {ROLE}
web_identity_token_file = /nowhere
[profile process]
credential_process = false
[profile sso]
sso_start_url = https://aws.invalid/start
sso_region = us-east-1
sso_account_id = 1
sso_role_name = r
"""
PROFILE = NO_JOB | {"AWS_CONFIG_FILE": "CONFIG"}
MISSING = {
    "no permission": ({"ACTIONS_ID_TOKEN_REQUEST_URL": ""}, "this job may not ask for an OIDC token"),
    "no role": ({"AWS_ROLE_ARN": ""}, "no role is named that this job could take"),
    "no credentials": (NO_JOB, "there are no AWS credentials"),
    "no region": ({"AWS_REGION": ""}, "not an AWS region: ''"),
    "no such region": ({"AWS_REGION": "not a region"}, "not an AWS region: 'not a region'"),
    "wrong region": ({"AWS_REGION": "us-east-1"}, "Parameter Store has no /shop/test/key"),
    "no endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS cannot be reached (EndpointConnectionError)"),
    "odd endpoint": ({"AWS_ENDPOINT_URL": "moto"}, "AWS is not set up in a way that can be used (ValueError)"),
    "odd role": ({"AWS_ROLE_ARN": "ci"}, "AWS is not set up in a way that can be used (ParamValidationError)"),
    "no profile": (
        NO_JOB | {"AWS_PROFILE": "nobody"},
        "AWS is not set up in a way that can be used (ProfileNotFound)",
    ),
    "half a key": (NO_JOB | {"AWS_ACCESS_KEY_ID": "a"}, NOT_SET_UP.format("PartialCredentialsError")),
    "no token file": (PROFILE | {"AWS_PROFILE": "web"}, NOT_SET_UP.format("FileNotFoundError")),
    "no process": (PROFILE | {"AWS_PROFILE": "process"}, NOT_SET_UP.format("CredentialRetrievalError")),
    "signed out": (PROFILE | {"AWS_PROFILE": "sso"}, "you are not signed in to AWS (SSOTokenLoadError)"),
    "no proxy": (
        {"AWS_ENDPOINT_URL": "http://aws.invalid", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"},
        "AWS cannot be reached (ProxyConnectionError)",
    ),
    "no provider": (
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/"},
        "GitHub gave this job no OIDC token: it cannot be reached",
    ),
    "odd provider": (
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "file:///etc/passwd"},
        "GitHub gave this job no OIDC token: its answer holds no token",
    ),
}


def refused(shop: Shop, **environ: str) -> SecretMissingError:
    """The error with all its parts, and no secret that a provider repeats."""
    env = {name: value for name, value in (shop.environ | environ).items() if value}
    with patch.dict(os.environ, env, clear=True), pytest.raises(SecretMissingError) as caught:
        secrets.collect(load_manifest(shop.service), settings.load(), from_env=False)
    assert TOLD not in str(caught.value)
    assert all([caught.value.what, caught.value.why, caught.value.todo])
    return caught.value


def said_by(done: Done) -> str:
    """The same of a command line that did not start its command."""
    assert (done.code, "it ran" in done.out) == (14, False), done.out
    return next(line.removeprefix("error: ") for line in done.lines if line.startswith("error: "))


@pytest.mark.parametrize(("environ", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said(shop: Shop, environ: dict[str, str], said: str) -> None:
    """Each gap in a job's set-up has a message of its own, and the command is not started."""
    if "AWS_CONFIG_FILE" in environ:
        (shop.home / "config").write_text(CONFIG)
        environ = environ | {"AWS_CONFIG_FILE": str(shop.home / "config")}
    assert refused(shop, AWS_MAX_ATTEMPTS="1", **environ).what == said


WEB = "AssumeRoleWithWebIdentity"
GET = "GetParameters"
DECRYPT = "is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:1:key/1"
READ = "is not authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:eu-central-1:1:parameter/kms/key"
OLD_DECRYPT = "The ciphertext refers to a customer master key that you are not allowed to access. (Service: AWSKMS)"
REFUSALS = {
    "provider": (("token", 403, "Denied"), "GitHub gave this job no OIDC token: it answered HTTP 403"),
    "provider fails": (("token", 503, "Down"), "GitHub gave this job no OIDC token: it answered HTTP 503"),
    "redirect": (("token", 302, "Elsewhere"), "GitHub gave this job no OIDC token: it answered HTTP 302"),
    "trust": ((WEB, 403, "AccessDenied"), f"AWS does not let this job take the role {ROLE}"),
    "no provider": ((WEB, 400, "InvalidIdentityToken"), "AWS does not accept this job's OIDC token"),
    "old token": ((WEB, 400, "ExpiredTokenException"), "the AWS session or token has expired"),
    "old session": ((GET, 400, "ExpiredTokenException"), "the AWS session or token has expired"),
    "no read": (
        (GET, 400, "AccessDeniedException", READ),
        f"{ROLE} may not read the parameters: ssm:GetParameters is denied",
    ),
    "no decrypt": (
        (GET, 400, "AccessDeniedException", DECRYPT),
        f"{ROLE} may not decrypt the parameters: kms:Decrypt is denied",
    ),
    "no decrypt, older words": (
        (GET, 400, "AccessDeniedException", OLD_DECRYPT),
        f"{ROLE} may not decrypt the parameters: kms:Decrypt is denied",
    ),
    "key is gone": ((GET, 400, "InvalidKeyId"), f"{ROLE} may not decrypt the parameters: kms:Decrypt is denied"),
    "key is disabled": (
        (GET, 400, "InvalidKeyId", "key/1 is disabled. (Service: AWSKMS; Error Code: DisabledException)"),
        "the key that the parameters are encrypted with cannot be used",
    ),
    "clock is slow": (
        (GET, 400, "InvalidSignatureException", "Signature expired: 20261130T1Z is now earlier than 20261130T2Z"),
        "AWS does not accept the time of a request",
    ),
    "a page": ((WEB, 403, "<html>"), "what answers is not AWS"),
    "a page of 200": ((WEB, 200, "<html>"), "what answers is not AWS"),
    "throttled": ((GET, 400, "ThrottlingException"), "AWS throttles this account: refused 2 times in a row"),
    "throttled at STS": ((WEB, 400, "Throttling"), "AWS throttles this account: refused 2 times in a row"),
    "keys": ((GET, 400, "UnrecognizedClientException"), "AWS does not know the credentials in use"),
    "fault": ((GET, 500, "InternalServerError"), "AWS failed: InternalServerError, 2 times in a row"),
    "role": ((WEB, 400, "ValidationError"), f"AWS refuses {WEB}: ValidationError"),
    "region": ((WEB, 403, "RegionDisabledException"), f"AWS refuses {WEB}: RegionDisabledException"),
    "path": ((GET, 400, "ValidationException"), f"AWS refuses {GET}: ValidationException"),
    "odd code": ((GET, 500, f"<{TOLD}>"), "AWS failed: an unknown error, 2 times in a row"),
}


@pytest.mark.parametrize(("fault", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_said_in_our_words(shop: Shop, cloud: Cloud, fault: tuple[str, int, str], said: str) -> None:
    """What a provider answers has a message of its own, without a secret that the provider repeats."""
    cloud.fail(*fault)

    assert refused(shop, AWS_MAX_ATTEMPTS="2").what == said


def test_a_code_that_nobody_types_is_said() -> None:
    """A profile with mfa_serial has boto3 ask for one, and a job's standard input has ended."""
    with pytest.raises(SecretMissingError) as caught, refusals.in_our_words("", ""):
        raise EOFError

    assert caught.value.why == "the profile asks for a code (mfa_serial), which testbay cannot type"


def test_what_is_in_the_way_to_aws_is_said() -> None:
    """A certificate, an address of our own, or the way there."""
    said = []
    for kind, endpoint in (
        (SSLError, "x"),
        (EndpointConnectionError, "x"),
        (EndpointConnectionError, "https://ssm.us-est-1.amazonaws.com"),
    ):
        with pytest.raises(SecretMissingError) as caught, refusals.in_our_words("", "us-est-1"):
            raise kind(endpoint_url=endpoint, error=OSError())
        said.append(caught.value.why)

    assert said == [
        "what answers has a certificate that is not trusted here, as behind a company's proxy",
        "AWS_ENDPOINT_URL, or endpoint_url in ~/.aws/config, leads elsewhere, and nothing answers there",
        "unknown region 'us-est-1', or the network or a proxy is in the way",
    ]


def test_who_was_refused_is_shown(shop: Shop, cloud: Cloud) -> None:
    """The token's subject is what to compare with the trust policy."""
    cloud.fail(WEB, 403, "AccessDenied")

    assert refused(shop).evidence == f"AccessDenied from {WEB}\nthe token's subject: {SUBJECT}"


def test_identity_provider_that_is_not_reached_is_asked_again(shop: Shop, cloud: Cloud) -> None:
    """STS answers so when it cannot fetch GitHub's keys; seconds later it can."""
    said = "Couldn't retrieve verification key from your identity provider"
    cloud.fail(WEB, 400, "InvalidIdentityToken", said, times=2)

    assert shop.seen()["KEY"] == CANARY
    assert cloud.calls.count(WEB) == 3


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [
        (WEB, "InvalidIdentityToken", "No OpenIDConnect provider found for {eyJ0.eyJz.c2ln}"),
        (WEB, "AccessDenied", f"Not authorized to perform sts:{WEB}"),
        (
            GET,
            "AccessDeniedException",
            f"{{{ROLE}}} is not authorized to perform: ssm:GetParameters on resource: {{a:b}}",
        ),
        (GET, "ExpiredTokenException", "The token {1} is expired"),
    ],
)
def test_the_providers_sentence_is_evidence(shop: Shop, cloud: Cloud, action: str, code: str, said: str) -> None:
    """Without anything in it that could be a token, here in braces."""
    cloud.fail(action, 400, code, re.sub(r"[{}]", "", said))

    shown = re.sub(r"{[^}]*}", "…", said)
    assert refused(shop).evidence.splitlines()[0] == f"{code} from {action}: {shown} …"


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b'{"value": 7}', b"no JSON", b'{"value": ""}'])
def test_a_token_that_is_none_is_said(shop: Shop, cloud: Cloud, answer: bytes) -> None:
    """Whatever the endpoint answers with 200."""
    cloud.token_answer = answer

    assert refused(shop).what == "GitHub gave this job no OIDC token: its answer holds no token"


@pytest.mark.parametrize("action", ["token", WEB, GET])
def test_a_moment_of_trouble_is_ridden_out(shop: Shop, cloud: Cloud, action: str) -> None:
    """Refused twice for being too many, or down, each of the three answers the third time."""
    cloud.fail(action, 503 if action == "token" else 400, "ThrottlingException", times=2)

    assert shop.seen()["KEY"] == CANARY
    assert cloud.calls.count(action) == 3


def test_github_that_gives_too_many_tokens_is_asked_again(shop: Shop, cloud: Cloud) -> None:
    """Its limit of requests is over a moment later."""
    cloud.fail("token", 429, "Slow", times=1)

    assert shop.seen()["KEY"] == CANARY


def test_what_the_manifest_lacks_is_said(shop: Shop, cloud: Cloud) -> None:
    """No secrets, one that is not there, an empty folder, a value that no log could be masked for."""
    cloud.put(short="1234567")
    said = []
    for names in ({}, {"A": "/shop/test/key", "B": "/no/b"}, {"C_*": "/empty/*"}, {"D": "/shop/test/short"}):
        shop.secrets(**names)
        said.append(refused(shop).what)

    assert said == [
        "shop names no secrets",
        "Parameter Store has no /no/b",
        "Parameter Store has no /empty/*",
        "the value of D (/shop/test/short) is too short to be kept secret",
    ]


@pytest.mark.parametrize("name", ["KEY", "APP_*"])
def test_what_the_environment_lacks_is_said(shop: Shop, name: str) -> None:
    """--from-env needs every secret of the manifest by its name."""
    shop.secrets(**{name: "/shop/test/*" if name == "APP_*" else "/shop/test/key"})

    assert said_by(shop.run("--from-env", "shop", "--", "echo", "it ran")) == f"{name} is not set"


def test_without_boto3_it_is_said_which_extra_brings_it(shop: Shop, tmp_path: Path) -> None:
    """AWS's client is an extra: who keeps the secrets elsewhere does not need it."""
    (tmp_path / "boto3.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), *sys.path])

    said = said_by(shop.python("print('it ran')", PYTHONPATH=path))

    assert said == "boto3 is not installed, and the secrets are in AWS Parameter Store"
