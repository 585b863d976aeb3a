"""Converting boto3's errors to testbay's. Their text is not shown, as it may contain anything."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testbay.errors import SecretMissingError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

SETUP = "`testbay explain aws-setup`"
_PAUSES_S = (0.5, 1.0, 2.0)  # GitHub's keys are there again within seconds


_WRONG = {
    "ProfileNotFound": "~/.aws/config has no profile of the name in AWS_PROFILE",
    "ParamValidationError": "AWS_ROLE_ARN, or aws.role in the manifest, is not an ARN",
}


@contextmanager
def in_our_words(role: str, region: str, evidence: str = "") -> Iterator[None]:
    """Raise an exception of boto3 as an error of testbay.

    Raises:
        SecretMissingError: AWS is not set up, refuses or fails.
    """
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        raise _refused(error, role, evidence) from None
    except (boto.NoRegionError, boto.InvalidRegionError):
        raise SecretMissingError(
            f"not an AWS region: {region!r}",
            why="it has characters that no region has, such as a quote"
            if region
            else "parameters belong to a region, and nothing names it",
            todo="AWS_REGION=us-east-1, or aws.region in the manifest",
        ) from None
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        guess = f"unknown region {region!r}, or " if region else ""
        raise SecretMissingError(
            f"AWS cannot be reached ({type(error).__name__})",
            why=f"{guess}the network, a proxy or AWS_ENDPOINT_URL is in the way",
            todo="fix AWS_REGION or the network, then run it again",
        ) from None
    except (boto.BotoCoreError, ValueError) as error:
        raise SecretMissingError(
            f"AWS is not set up in a way that can be used ({type(error).__name__})",
            why=_WRONG.get(
                type(error).__name__, "an AWS_ variable, ~/.aws/config, or aws.role in the manifest is wrong"
            ),
            todo=f"aws sts get-caller-identity says more; {SETUP}",
        ) from None


def patiently(ask: Callable[[], Any]) -> Any:
    """Call AWS, again if AWS could not reach the identity provider, which is momentary."""
    from botocore import exceptions as boto

    for attempt, pause_s in enumerate((*_PAUSES_S, None), 1):
        try:
            return ask()
        except boto.ClientError as error:
            answer: Any = error.response
            found = answer.get("Error", {})
            if not _passes(_word(found.get("Code")), str(found.get("Message"))):
                raise
            if pause_s is None:
                answer.setdefault("ResponseMetadata", {})["RetryAttempts"] = attempt - 1
                raise
        time.sleep(pause_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _passes(code: str, message: str) -> bool:
    return code == "IDPCommunicationError" or (code == "InvalidIdentityToken" and "verification key" in message)


def _sentence(message: object) -> str:
    """AWS's message without any word that could be a token or a key."""
    words = re.findall(r"\S+", message) if isinstance(message, str) else []
    return " ".join(word if re.fullmatch(r"[A-Za-z']{1,20}[.,:;]?", word) else "…" for word in words[:60])


def _refused(error: "ClientError", role: str, evidence: str) -> SecretMissingError:
    answer: Any = error.response
    code = _word(answer.get("Error", {}).get("Code"))
    facts = {
        "role": role or "the credentials in use",
        "permission": "ssm:" + _word(error.operation_name),
        "operation": _word(error.operation_name),
        "attempts": answer.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1,
        "code": code,
        "setup": SETUP,
    }
    texts = _explain(code, str(answer.get("Error", {}).get("Message")), str(error.operation_name))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if texts is _FAILED and code not in ("IDPCommunicationError", "InvalidIdentityToken") and status // 100 == 4:
        texts = _REFUSED
    what, why, todo = texts
    quoted = texts is _REFUSED or (code in _TRUST and code != "AccessDenied")
    said = _sentence(answer.get("Error", {}).get("Message")) if quoted else ""
    told = f"{code} from {_word(error.operation_name)}{f': {said}' if said else ''}\n{evidence}".strip()
    return SecretMissingError(what.format(**facts), why=why.format(**facts), todo=todo.format(**facts), evidence=told)


def _explain(code: str, message: str, operation: str) -> tuple[str, str, str]:
    if "hrottl" in code or code in ("TooManyRequestsException", "RequestLimitExceeded", "SlowDown"):
        return _THROTTLED
    if code in ("ExpiredTokenException", "ExpiredToken", "RequestExpired"):
        return _EXPIRED
    if operation == "AssumeRoleWithWebIdentity":
        return _FAILED if _passes(code, message) else _TRUST.get(code, _FAILED)
    if code == "InvalidKeyId" or re.search(r"\bkms:\w+|AWSKMS|ciphertext", message):
        return _KMS_DENIED
    if code in ("AccessDeniedException", "AccessDenied", "403"):
        return _DENIED
    return _UNKNOWN_KEYS if code in _BAD_KEYS else _FAILED


def _word(text: object) -> str:
    """A provider's error code, if it looks like one."""
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
    "run it again; health.aws.amazon.com reports outages",
)
_REFUSED = (
    "AWS refuses {operation}: {code}",
    "a role, a parameter's path or the region is not as AWS wants it; its own words are below, without names",
    "compare aws.role, the paths in `secrets` and the region with what is there ({setup})",
)
_NOT_ACCEPTED = (
    "AWS does not accept this job's OIDC token",
    "the account has no identity provider for it, or that one has another audience than sts.amazonaws.com",
    "make the provider ({setup})",
)
_TRUST = {
    "AccessDenied": (
        "AWS does not let this job take the role {role}",
        "the role does not exist, or its trust policy names another subject: environment, branch or form of it",
        "compare the subject below with the trust policy ({setup})",
    ),
    "InvalidIdentityToken": _NOT_ACCEPTED,
    "IDPRejectedClaim": _NOT_ACCEPTED,
    "IDPCommunicationError": _FAILED,
}
