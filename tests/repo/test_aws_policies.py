"""The policies of docs/aws-setup.md, asked as AWS would be: what they admit, and what they do not.

This is the one place that tests them: moto checks neither trust policies nor resources.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

GITHUB = "token.actions.githubusercontent.com"
ACCOUNT = "123456789012"
PARAMETER = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/zerotouch/prod/agent-executor/openai_api_key"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"
DECRYPTION = {
    "kms:ResourceAliases": ["alias/aws/ssm"],
    "kms:ViaService": "ssm.us-east-1.amazonaws.com",
    "kms:EncryptionContext:PARAMETER_ARN": PARAMETER,
}


def several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(pattern: str, value: str) -> bool:
    """A star is any text, a question mark any character."""
    parts = [{"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.split(r"([*?])", pattern)]
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def holds(operator: str, key: str, wanted: Any, context: dict[str, Any]) -> bool:
    """One condition. A key that the request lacks fails it; an operator not known here is an error, not a guess."""
    same = {"StringEquals": str.__eq__, "ForAnyValue:StringEquals": str.__eq__, "StringLike": like}[operator]
    values = several(context.get(key, []))
    assert len(values) < 2 or operator.startswith("ForAnyValue:")
    return any(same(one, value) for one in several(wanted) for value in values)


def allows(policy: dict[str, Any], action: str, resource: str = "", **context: Any) -> bool:
    """Whether some statement allows it; these policies have no Deny."""
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    return any(
        any(like(one, action) for one in several(statement["Action"]))
        and any(like(one, resource) for one in several(statement.get("Resource", "*")))
        and all(
            holds(operator, key, wanted, context)
            for operator, conditions in statement.get("Condition", {}).items()
            for key, wanted in conditions.items()
        )
        for statement in policy["Statement"]
    )


@pytest.fixture
def page(root: Path) -> dict[str, str]:
    """The files that the page shows."""
    text = (root / "docs/aws-setup.md").read_text(encoding="utf-8")
    return dict(re.findall(r"(?ms)^`([\w./-]+)`\n\n```\w+\n(.*?)^```", text)) | {"": text}


def takes_role(policy: dict[str, Any], subject: str, audience: str = "sts.amazonaws.com") -> bool:
    return allows(policy, "sts:AssumeRoleWithWebIdentity", **{f"{GITHUB}:sub": subject, f"{GITHUB}:aud": audience})


@pytest.mark.parametrize(
    "subject", ["repo:acme/platform:environment:ci-openai", "repo:acme@1001/platform@2002:environment:ci-openai"]
)
def test_the_environment_s_jobs_get_the_role(page: dict[str, str], subject: str) -> None:
    """Under both forms of the subject, and for no other audience."""
    trust = json.loads(page["trust.json"])

    assert takes_role(trust, subject)
    assert not takes_role(trust, subject, "https://github.com/acme")


@pytest.mark.parametrize(
    "subject",
    [
        "repo:acme/platform:pull_request",
        "repo:acme/platform:ref:refs/heads/main",
        "repo:acme/platform:environment:staging",
        "repo:acme/platform:environment:ci-openai-2",
        "repo:acme/platform-evil:environment:ci-openai",
        "repo:evil/platform:environment:ci-openai",
        "repo:acme@6666/platform@2002:environment:ci-openai",
        "repo:acme@1001/platform@6666:environment:ci-openai",
        "repo:acme@1001/platform@2002:ref:refs/heads/main",
        "repo:Acme/platform:environment:ci-openai",
        "",
    ],
)
def test_nobody_else_gets_the_role(page: dict[str, str], subject: str) -> None:
    """No pull request, branch, other environment, other repository, or new owner of an old name."""
    assert not takes_role(json.loads(page["trust.json"]), subject)


@pytest.mark.parametrize(
    ("operator", "pattern", "subject", "admitted"),
    [
        ("StringEquals", "repo:acme/platform:*", "repo:acme/platform:pull_request", False),
        ("StringEquals", "repo:acme/platform:*", "repo:acme/platform:environment:ci-openai", False),
        ("StringLike", "repo:acme/platform:*", "repo:acme/platform:pull_request", True),
        ("StringLike", "repo:acme/platform*", "repo:acme/platform-evil:ref:refs/heads/x", True),
        ("StringEquals", "repo:acme/platform:ref:refs/heads/main", "repo:acme/platform:pull_request", False),
        ("StringEquals", "repo:acme/platform:ref:refs/heads/main", "repo:acme/platform:environment:ci-openai", False),
        ("", "", "repo:evil/anything:pull_request", True),
    ],
)
def test_the_page_warns_of_what_is_so(
    page: dict[str, str], operator: str, pattern: str, subject: str, *, admitted: bool
) -> None:
    """Each condition that the page warns of admits what the page says."""
    trust = json.loads(page["trust.json"])
    condition = {"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com"}}
    condition.setdefault(operator or "StringEquals", {}).update({f"{GITHUB}:sub": pattern} if operator else {})
    trust["Statement"][0]["Condition"] = condition

    assert takes_role(trust, subject) is admitted


def test_the_role_reads_the_parameter(page: dict[str, str]) -> None:
    """The two calls that reading takes, one of them made by Parameter Store in the role's name."""
    read = json.loads(page["read.json"])

    assert allows(read, "ssm:GetParameters", PARAMETER)
    assert allows(read, "kms:Decrypt", KEY, **DECRYPTION)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ssm:GetParameters", PARAMETER + "_2", {}),
        ("ssm:GetParameters", PARAMETER.rpartition("/")[0], {}),
        ("ssm:GetParameters", PARAMETER.replace("us-east-1", "eu-west-1"), {}),
        ("ssm:GetParameters", PARAMETER.replace(ACCOUNT, "999999999999"), {}),
        ("ssm:GetParametersByPath", PARAMETER, {}),
        ("ssm:GetParameterHistory", PARAMETER, {}),
        ("ssm:PutParameter", PARAMETER, {}),
        ("ssm:DeleteParameter", PARAMETER, {}),
        ("kms:Decrypt", KEY, {}),
        ("kms:Decrypt", KEY, DECRYPTION | {"kms:ResourceAliases": ["alias/payroll"]}),
        ("kms:Decrypt", KEY, DECRYPTION | {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
        ("kms:Decrypt", KEY, DECRYPTION | {"kms:EncryptionContext:PARAMETER_ARN": PARAMETER + "_2"}),
        ("kms:Decrypt", KEY.replace("us-east-1", "eu-west-1"), DECRYPTION),
        ("kms:Encrypt", KEY, DECRYPTION),
        ("kms:GenerateDataKey", KEY, DECRYPTION),
        ("iam:CreateUser", "*", {}),
        ("sts:AssumeRole", "*", {}),
    ],
)
def test_the_role_does_nothing_else(page: dict[str, str], action: str, resource: str, context: dict[str, Any]) -> None:
    """No other parameter, no writing, no decrypting of anything else, nothing beyond."""
    assert not allows(json.loads(page["read.json"]), action, resource, **context)


def test_a_list_of_aliases_is_enough_with_one(page: dict[str, str]) -> None:
    """A key may have several aliases; one that counts among them will do."""
    context = DECRYPTION | {"kms:ResourceAliases": ["alias/other", "alias/aws/ssm"]}

    assert allows(json.loads(page["read.json"]), "kms:Decrypt", KEY, **context)


def test_command_line_and_terraform_make_the_same(page: dict[str, str]) -> None:
    """Both ways read the very files that are tested here; name, provider and audience are the same in both."""
    command_line = page[""].partition("## 4a.")[2].partition("## 4b.")[0]
    terraform = page["testbay-ci.tf"]

    assert re.findall(r"file://([\w.]+)", command_line) == ["trust.json", "read.json"]
    assert re.findall(r'file\("\$\{path\.module\}/([\w.]+)"\)', terraform) == ["trust.json", "read.json"]
    assert "jsonencode" not in terraform
    for fact in (f"https://{GITHUB}", "sts.amazonaws.com", "testbay-ci", "3600"):
        assert fact in command_line
        assert fact in terraform


def test_the_page_speaks_of_the_service_that_is_there(root: Path, page: dict[str, str]) -> None:
    """The parameter of the policies is that of the reference service's manifest."""
    manifest = tomllib.loads((root / "services/agent_executor/pyproject.toml").read_text(encoding="utf-8"))
    name = manifest["tool"]["testbay"]["secrets"]["OPENAI_API_KEY"]

    assert PARAMETER.endswith(f"parameter{name}")
    assert f'OPENAI_API_KEY = "{name}"' in page[""]
