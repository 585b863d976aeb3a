import base64
import json

import pytest
from botocore import exceptions

from testbay.errors import SecretMissingError
from testbay.secrets.aws import oidc, refusals


def token(claims: object) -> str:
    return f"header.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


def test_a_token_s_subject_can_be_compared() -> None:
    """Both forms of it, as a trust policy has to name them."""
    for subject in ("repo:acme/platform:environment:ci", "repo:acme@1/plat_form@2:ref:refs/heads/main"):
        assert oidc.subject(token({"sub": subject})) == subject


def test_a_subject_is_shown_without_anything_that_acts() -> None:
    """It comes from outside: no line break, no command to the runner, no end of it."""
    assert oidc.subject(token({"sub": "repo:a\n::error::b\x1b[2J c"})) == "repo:a::error::b2Jc"
    assert len(oidc.subject(token({"sub": "x" * 10_000}))) == 300


@pytest.mark.parametrize("odd", ["", "a.b.c", "a.!.c", token([]), token({}), token({"sub": 7}), "a"])
def test_a_token_without_a_subject_is_no_second_error(odd: str) -> None:
    """The refusal is the news, not that its evidence cannot be read."""
    assert oidc.subject(odd) == "unreadable"


@pytest.mark.parametrize("missing", ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_a_token_is_offered_with_both_variables(missing: str) -> None:
    """GitHub sets both or none."""
    both = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}

    assert oidc.offered(both)
    assert not oidc.offered(both | {missing: ""})


@pytest.mark.parametrize(
    ("error", "region", "why"),
    [
        (
            exceptions.InvalidRegionError(region_name="'us-east-1'"),
            "'us-east-1'",
            "it has characters that no region has",
        ),
        (exceptions.NoRegionError(), "", "parameters belong to a region, and nothing names it"),
        (exceptions.ProfileNotFound(profile="nope"), "us-east-1", "~/.aws/config has no profile of the name"),
    ],
)
def test_a_refusal_of_boto3_says_what_is_wrong(error: Exception, region: str, why: str) -> None:
    """A quoted region is named, and a profile that is not there is not looked for elsewhere."""
    with pytest.raises(SecretMissingError) as refused, refusals.in_our_words("", region):
        raise error

    assert refused.value.why.startswith(why)
