"""Converting boto3's errors to testbay's. Of their text only plain words are shown, as it may contain anything."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testbay.errors import SecretMissingError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

SETUP = "`testbay explain aws-setup`"
_UNKNOWN = "an unknown error"
_PAUSES_S = (0.5, 1.0, 2.0)  # GitHub's keys are there again within seconds
_PLAIN_WORD = re.compile(r"[A-Za-z']{1,20}[.,:;]?|(?:sts|ssm|kms):[A-Z][A-Za-z]{1,40}")  # or the name of a right

_WRONG = {
    "ProfileNotFound": "~/.aws/config has no profile of the name in AWS_PROFILE",
    "ParamValidationError": "AWS_ROLE_ARN, or aws.role in the manifest, is not an ARN",
    "PartialCredentialsError": "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set without the other",
    "CredentialRetrievalError": "the credential_process of the profile gives no credentials",
    "EOFError": "the profile asks for a code (mfa_serial), which testbay cannot type",
    "FileNotFoundError": "the file that AWS_WEB_IDENTITY_TOKEN_FILE or the profile names is not there",
}
_SIGNED_OUT = ("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError")


@contextmanager
def in_our_words(role: str, region: str, evidence: str = "") -> Iterator[None]:
    """Raise an exception of boto3 as an error of testbay.

    Raises:
        SecretMissingError: AWS is not set up, refuses or fails.
    """
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

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
        why, todo = _unreached(error, region)
        raise SecretMissingError(f"AWS cannot be reached ({type(error).__name__})", why=why, todo=todo) from None
    except (ResponseParserError, KeyError):
        what, why, todo = _ANOTHER
        raise SecretMissingError(what, why=why, todo=todo, evidence=evidence) from None
    except (boto.BotoCoreError, ValueError, EOFError, FileNotFoundError) as error:
        raise _unusable(type(error).__name__) from None


def _unreached(error: Any, region: str) -> tuple[str, str]:
    """Say what is in the way to AWS, by the kind of error and the address that was asked."""
    kind, endpoint = type(error).__name__, str(error.kwargs.get("endpoint_url", ""))
    if kind == "SSLError":
        why = "what answers has a certificate that is not trusted here, as behind a company's proxy"
        return why, "AWS_CA_BUNDLE=FILE names the certificates to trust; where it is set, look at that file"
    if kind == "ProxyConnectionError":
        return "the proxy that HTTPS_PROXY names does not connect", "fix HTTPS_PROXY, or name the host in NO_PROXY"
    if endpoint and not re.search(r"\.amazonaws\.|\.api\.aws\b", endpoint):
        why = "AWS_ENDPOINT_URL, or endpoint_url in ~/.aws/config, leads elsewhere, and nothing answers there"
        return why, "unset it, or start what should answer there"
    guess = f"unknown region {region!r}, or " if region else ""
    return f"{guess}the network or a proxy is in the way", "fix AWS_REGION or the network, then run it again"


def _unusable(kind: str) -> SecretMissingError:
    """The error of an account that cannot be used as this machine knows it."""
    if kind in _SIGNED_OUT:
        return SecretMissingError(
            f"you are not signed in to AWS ({kind})",
            why="the session of the profile has ended, or never began",
            todo="aws sso login, with --profile NAME where AWS_PROFILE is set",
        )
    return SecretMissingError(
        f"AWS is not set up in a way that can be used ({kind})",
        why=_WRONG.get(kind, "an AWS_ variable, ~/.aws/config, or aws.role in the manifest is wrong"),
        todo=f"aws sts get-caller-identity says more; {SETUP}",
    )


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
    """AWS's message without any word that could be a token or a key; empty if nothing is left."""
    words = re.findall(r"\S+", message) if isinstance(message, str) else []
    shown = [word if _PLAIN_WORD.fullmatch(word) else "…" for word in words[:60]]
    return " ".join(shown) if set(shown) - {"…"} else ""


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
        texts = _REFUSED if code != _UNKNOWN else _ANOTHER
    what, why, todo = texts
    said = _sentence(answer.get("Error", {}).get("Message"))
    told = f"{code} from {_word(error.operation_name)}{f': {said}' if said else ''}\n{evidence}".strip()
    return SecretMissingError(what.format(**facts), why=why.format(**facts), todo=todo.format(**facts), evidence=told)


def _explain(code: str, message: str, operation: str) -> tuple[str, str, str]:
    by_words = next((texts for words, texts in _BY_WORDS if re.search(words, f"{code}: {message}")), None)
    if by_words:
        return by_words
    if operation == "AssumeRoleWithWebIdentity":
        return _FAILED if _passes(code, message) else _TRUST.get(code, _FAILED)
    if code in ("AccessDeniedException", "AccessDenied", "403"):
        return _DENIED
    return _UNKNOWN_KEYS if code in _BAD_KEYS else _FAILED


def _word(text: object) -> str:
    """A provider's error code, if it looks like one."""
    return text if isinstance(text, str) and re.fullmatch(r"[\w.]{1,64}", text) else _UNKNOWN


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
_KEY_UNUSABLE = (
    "the key that the parameters are encrypted with cannot be used",
    "it is disabled, or is to be deleted",
    "aws kms enable-key, or cancel-key-deletion; or store them again with another key",
)
_CLOCK = (
    "AWS does not accept the time of a request",
    "this machine's clock is wrong by more than five minutes",
    "set the clock, then run it again",
)
_ANOTHER = (
    "what answers is not AWS",
    "a proxy, a firewall's page, or what AWS_ENDPOINT_URL leads to answers in its place",
    "look at HTTPS_PROXY and AWS_ENDPOINT_URL; run it again from where AWS can be reached",
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
_BY_WORDS = (  # of a code and a message; the first that is found counts
    ("^[^:]*hrottl|^(?:TooManyRequestsException|RequestLimitExceeded|SlowDown):", _THROTTLED),
    ("^(?:ExpiredTokenException|ExpiredToken|RequestExpired):", _EXPIRED),
    ("^RequestTimeTooSkewed:|Signature (?:expired|not yet current)", _CLOCK),
    (r"key/\S+ is (?:disabled|pending)|AWSKMS.*(?:DisabledException|KMSInvalidState)", _KEY_UNUSABLE),
    (r"^InvalidKeyId:|\bkms:\w+|AWSKMS|ciphertext", _KMS_DENIED),
)
