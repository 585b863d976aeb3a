"""Values from AWS Parameter Store: the job's token, a role, the parameters. Nothing is stored."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbay.errors import SecretMissingError
from testbay.manifest import environments
from testbay.secrets.aws import oidc, refusals

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from mypy_boto3_ssm import SSMClient

_SESSION_S = 900  # the shortest that AWS gives
_NAMES_PER_CALL = 10


@dataclass(frozen=True, kw_only=True)
class Access:
    """The role to assume and its region; `environ` holds the rest of the identity."""

    role: str = ""
    region: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def fetch(wanted: Sequence[str], access: Access) -> dict[str, dict[str, str]]:
    """Fetch the wanted parameters with their values: single ones, or all in the folder of `/a/folder/*`.

    Raises:
        SecretMissingError: AWS is not set up, refuses, fails, or does not have one of them.
    """
    try:
        import boto3
    except ImportError:
        raise SecretMissingError(
            "boto3 is not installed, and the secrets are in AWS Parameter Store",
            why="it comes with testbay's extra `aws`",
            todo=f"{environments.adding('aws')}; or --from-env, with the values in your environment",
        ) from None
    with refusals.in_our_words(access.role, access.region):
        session = boto3.Session(region_name=access.region or None)
        if access.role and oidc.offered(access.environ):
            session = _as_role(session, access)
        elif session.get_credentials() is None:
            raise _no_credentials(access)
        return _values(session, list(dict.fromkeys(wanted)), access)


def _as_role(session: "Session", access: Access) -> "Session":
    """A session of 15 minutes in exchange for the job's token, which is never written to a file."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    token = oidc.job_token(access.environ)
    run_id = re.sub("[^0-9]", "", access.environ.get("GITHUB_RUN_ID", ""))[:20]
    sts = session.client("sts", config=_config(access).merge(Config(signature_version=UNSIGNED)))
    with refusals.in_our_words(access.role, access.region, evidence=f"the token's subject: {oidc.subject(token)}"):
        answer = refusals.patiently(
            lambda: sts.assume_role_with_web_identity(
                RoleArn=access.role,
                RoleSessionName=f"testbay-{run_id or 'job'}",  # what CloudTrail shows
                WebIdentityToken=token,
                DurationSeconds=_SESSION_S,
            )
        )
    granted = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
        region_name=session.region_name,
    )


def _values(session: "Session", wanted: list[str], access: Access) -> dict[str, dict[str, str]]:
    ssm = session.client("ssm", config=_config(access))
    names = [name for name in wanted if not name.endswith("/*")]
    found = {name: {name: value} for name, value in _by_name(ssm, names)}
    for folder in (name for name in wanted if name not in names):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder[:-2] or "/", WithDecryption=True)
        found[folder] = {parameter["Name"]: parameter["Value"] for page in pages for parameter in page["Parameters"]}
    if missing := [name for name in wanted if not found.get(name)]:
        raise SecretMissingError(
            f"Parameter Store has no {', '.join(missing)}",
            why=f"the name in the manifest, the region ({session.region_name}) or the account is another",
            todo=f"aws ssm describe-parameters --region {session.region_name} lists what is there; fix the manifest",
        )
    return found


def _by_name(ssm: "SSMClient", names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each parameter's value under what it can be asked for by: its name, with its version if given, its ARN."""
    for at in range(0, len(names), _NAMES_PER_CALL):
        answer = ssm.get_parameters(Names=names[at : at + _NAMES_PER_CALL], WithDecryption=True)
        for parameter in answer["Parameters"]:
            yield parameter["Name"] + parameter.get("Selector", ""), parameter["Value"]
            yield parameter.get("ARN", ""), parameter["Value"]


def _config(access: Access) -> "Config":
    """Limited waits; AWS's own variables for retries take precedence."""
    from botocore.config import Config

    retries: dict[str, Any] = {}
    if "AWS_RETRY_MODE" not in access.environ:
        retries["mode"] = "standard"
    if "AWS_MAX_ATTEMPTS" not in access.environ:
        retries["total_max_attempts"] = 4
    return Config(connect_timeout=5, read_timeout=10, retries=retries)  # type: ignore[arg-type]


def _no_credentials(access: Access) -> SecretMissingError:
    if access.environ.get("GITHUB_ACTIONS") != "true":
        return SecretMissingError(
            "there are no AWS credentials",
            why="neither keys in the environment, nor a profile, nor a session of `aws sso login`",
            todo="AWS_PROFILE=NAME names a profile; --from-env takes the values from your environment instead",
        )
    if oidc.offered(access.environ):
        return SecretMissingError(
            "no role is named that this job could take",
            why="AWS_ROLE_ARN is empty, and so is aws.role in the manifest",
            todo=f"hand AWS_ROLE_ARN to the step ({refusals.SETUP})",
        )
    return SecretMissingError(
        "this job may not ask for an OIDC token",
        why="GitHub offers one only to a job with the permission for it, and never to a pull request from a fork",
        todo=f"give the job `permissions: id-token: write` ({refusals.SETUP})",
    )
