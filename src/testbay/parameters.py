"""Values from AWS Parameter Store: a token of this job, a role for it, the parameters. Nothing of it is kept.

What a provider answers is read and never shown: an error has its code, in words of ours.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbay import oidc
from testbay.errors import SecretMissingError

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from botocore.exceptions import ClientError

_SESSION_S = 900  # the shortest that AWS gives
_NAMES_PER_CALL = 10
_SETUP = "docs/aws-setup.md"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Which role, in which region; `environ` holds what else says who we are."""

    role: str = ""
    region: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def fetch(wanted: Sequence[str], access: Access) -> dict[str, str]:
    """The decrypted values by parameter; `/a/folder/*` stands for every parameter in /a/folder.

    Raises:
        SecretMissingError: AWS is not set up, refuses, fails, or does not have one of them.
    """
    try:
        import boto3
    except ImportError:
        raise SecretMissingError(
            "boto3 is not installed, and the secrets are in AWS Parameter Store",
            why="it comes with testbay's extra `aws`",
            todo="pip install 'testbay[aws]'; or --from-env, with the values in your environment",
        ) from None
    with _in_our_words(access):
        session = boto3.Session(region_name=access.region or None)
        if access.role and oidc.offered(access.environ):
            session = _as_role(session, access)
        elif session.get_credentials() is None:
            raise _no_credentials(access)
        return _values(session, list(dict.fromkeys(wanted)), access)


def _as_role(session: "Session", access: Access) -> "Session":
    """A session of some minutes, for the job's token: that token is never in a file."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    token = oidc.job_token(access.environ)
    run_id = re.sub("[^0-9]", "", access.environ.get("GITHUB_RUN_ID", ""))[:20]
    sts = session.client("sts", config=_config(access).merge(Config(signature_version=UNSIGNED)))
    try:
        answer = sts.assume_role_with_web_identity(
            RoleArn=access.role,
            RoleSessionName=f"testbay-{run_id or 'job'}",  # what CloudTrail shows
            WebIdentityToken=token,
            DurationSeconds=_SESSION_S,
        )
    except sts.exceptions.ClientError as error:
        raise _refused(error, access, evidence=f"the token's subject: {oidc.subject(token)}") from None
    granted = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
        region_name=session.region_name,
    )


def _values(session: "Session", wanted: list[str], access: Access) -> dict[str, str]:
    ssm = session.client("ssm", config=_config(access))
    names = [name for name in wanted if not name.endswith("/*")]
    found: dict[str, str] = {}
    for at in range(0, len(names), _NAMES_PER_CALL):
        answer = ssm.get_parameters(Names=names[at : at + _NAMES_PER_CALL], WithDecryption=True)
        for parameter in answer["Parameters"]:  # asked for by name, by name and version, or by ARN
            value = parameter["Value"]
            found |= {parameter["Name"] + parameter.get("Selector", ""): value, parameter.get("ARN", ""): value}
    missing = [name for name in names if name not in found]
    for folder in (name for name in wanted if name.endswith("/*")):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder[:-2] or "/", WithDecryption=True)
        inside = {parameter["Name"]: parameter["Value"] for page in pages for parameter in page["Parameters"]}
        missing += [] if inside else [folder]
        found |= inside
    if missing:
        raise SecretMissingError(
            f"Parameter Store has no {', '.join(missing)}",
            why=f"the name in the manifest, the region ({session.region_name}) or the account is another",
            todo=f"aws ssm describe-parameters --region {session.region_name} lists what is there; mend the manifest",
        )
    return found


def _config(access: Access) -> "Config":
    """Bounded waits; AWS's own variables for retries count where they are set."""
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
            todo=f"hand AWS_ROLE_ARN to the step ({_SETUP})",
        )
    return SecretMissingError(
        "this job may not ask for an OIDC token",
        why="GitHub offers one only to a job with the permission for it",
        todo=f"give the job `permissions: id-token: write` ({_SETUP})",
    )


@contextmanager
def _in_our_words(access: Access) -> Iterator[None]:
    """Whatever boto3 raises, as an error of ours; its text stays out, since it may quote what a provider said."""
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _refused(error, access) from None
    except (boto.NoRegionError, boto.InvalidRegionError):
        raise SecretMissingError(
            f"no AWS region: {access.region!r} is none",
            why="parameters belong to a region, and nothing names it",
            todo="AWS_REGION=us-east-1, or aws.region in the manifest",
        ) from None
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        region = f"there is no region {access.region!r}, or " if access.region else ""
        raise SecretMissingError(
            f"AWS cannot be reached ({type(error).__name__})",
            why=f"{region}the network, a proxy or AWS_ENDPOINT_URL is in the way",
            todo="mend AWS_REGION or the network, then run it again",
        ) from None
    except (boto.BotoCoreError, ValueError) as error:
        raise SecretMissingError(
            f"AWS is not set up in a way that can be used ({type(error).__name__})",
            why="an AWS_ variable, ~/.aws/config, or aws.role in the manifest is wrong",
            todo=f"aws sts get-caller-identity says more; {_SETUP}",
        ) from None


def _refused(error: "ClientError", access: Access, evidence: str = "") -> SecretMissingError:
    answer: Any = error.response
    code = _word(answer.get("Error", {}).get("Code"))
    told = f"{code} from {_word(error.operation_name)}"
    facts = {
        "role": access.role or "the credentials in use",
        "permission": "ssm:" + _word(error.operation_name),
        "attempts": answer.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1,
        "code": code,
        "setup": _SETUP,
    }
    what, why, todo = _explain(code, str(answer.get("Error", {}).get("Message")), str(error.operation_name))
    lines = [told, *evidence.splitlines()]
    return SecretMissingError(
        what.format(**facts), why=why.format(**facts), todo=todo.format(**facts), evidence="\n".join(lines)
    )


def _explain(code: str, message: str, operation: str) -> tuple[str, str, str]:
    if "hrottl" in code or code in ("TooManyRequestsException", "RequestLimitExceeded", "SlowDown"):
        return _THROTTLED
    if code in ("ExpiredTokenException", "ExpiredToken", "RequestExpired"):
        return _EXPIRED
    if operation == "AssumeRoleWithWebIdentity":
        return _TRUST.get(code, _FAILED)
    if code == "InvalidKeyId" or re.search(r"\bkms:\w+|AWSKMS|ciphertext", message):
        return _KMS_DENIED
    if code in ("AccessDeniedException", "AccessDenied", "403"):
        return _DENIED
    return _UNKNOWN_KEYS if code in _BAD_KEYS else _FAILED


def _word(text: object) -> str:
    """A provider's code, as long as it looks like one."""
    return text if isinstance(text, str) and re.fullmatch(r"[\w.]{1,64}", text) else "an unknown error"


_THROTTLED = (
    "AWS throttles this account: refused {attempts} times in a row",
    "others use the account's share of requests at this moment",
    "run it again; AWS_MAX_ATTEMPTS=8 asks more often",
)
_EXPIRED = (
    "the AWS session or token has expired",
    "it was made too long ago, or this machine's clock is wrong",
    "sign in again (aws sso login), or run the job again",
)
_DENIED = (
    "{role} may not read the parameters: {permission} is denied",
    "its policy does not name these parameters, or a boundary or an organisation's policy forbids it",
    "give it {permission} on them ({setup})",
)
_KMS_DENIED = (
    "{role} may not decrypt the parameters: kms:Decrypt is denied",
    "they are encrypted with a key that the role's policy, or the key's own, does not let it use",
    "give it kms:Decrypt on that key ({setup})",
)
_UNKNOWN_KEYS = (
    "AWS does not know the credentials in use",
    "the keys were deleted, belong to another partition, or were copied in part",
    "aws sts get-caller-identity shows whose they are; make new ones",
)
_BAD_KEYS = (
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
)
_FAILED = (
    "AWS failed: {code}, {attempts} times in a row",
    "a fault at AWS, or something between it and us that answers in its place",
    "run it again; health.aws.amazon.com tells of faults",
)
_NOT_ACCEPTED = (
    "AWS does not accept this job's OIDC token",
    "the account has no identity provider for it, or that one has another audience than sts.amazonaws.com",
    "make the provider ({setup})",
)
_TRUST = {
    "AccessDenied": (
        "AWS does not let this job take the role {role}",
        "there is no such role, or its trust policy names another subject: environment, branch or form of it",
        "compare the subject below with the trust policy ({setup})",
    ),
    "InvalidIdentityToken": _NOT_ACCEPTED,
    "IDPRejectedClaim": _NOT_ACCEPTED,
    "IDPCommunicationError": _NOT_ACCEPTED,
}
