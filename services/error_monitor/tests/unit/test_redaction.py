"""Secrets never leave the reader."""

import json

import pytest

from error_monitor.reading.reader import Reader
from error_monitor.redaction import redact

CANARY = "cAnAryV4lue0123456789abcdefghij"
SECRETS = {
    "password": f"password={CANARY}",
    "quoted": f"{{'db_password': '{CANARY}'}}",
    "json": json.dumps({"api_key": CANARY}),
    "escaped json": json.dumps(json.dumps({"client_secret": CANARY})),
    "url": f"postgresql://app:{CANARY}@db.internal:5432/shop",
    "url without a name": f"redis://:{CANARY}@cache:6379/0",
    "bearer": f"Authorization: Bearer {CANARY}",
    "basic": f"authorization='Basic {CANARY}=='",
    "cookie": f"Set-Cookie: sessionid={CANARY}; Path=/",
    "tuple": f"[('x-api-key', '{CANARY}')]",
    "option": f"psql --password {CANARY} --host db",
    "spoken": f"the password is {CANARY}",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{CANARY}.{CANARY}",
    "github": f"ghp_{CANARY}ab",
    "anthropic": f"sk-ant-{CANARY}",
    "slack": f"xoxb-{CANARY}",
    "stripe": f"sk_live_{CANARY}",
    "pem": f"-----BEGIN PRIVATE KEY-----\nMIIE{CANARY}\n{CANARY}\n-----END PRIVATE KEY-----",
    "pem in json": f"-----BEGIN RSA PRIVATE KEY-----\\nMIIE{CANARY}\\n-----END RSA PRIVATE KEY-----",
    "percent": f"GET /login?user=a&password%3D{CANARY}",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_secret(secret: str) -> None:
    """A secret is gone from text, in whatever form it stands."""
    assert CANARY not in redact(f"connect failed: {secret} after 3 tries")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_secret_in_event(secret: str) -> None:
    """No part of an event and no state of a reader holds a secret."""
    reader = Reader()
    lines = f'Traceback (most recent call last):\n  File "/app/a.py", line 1, in f\n    f()\nValueError: {secret}'
    reader.feed(lines.split("\n"))
    state = json.dumps(reader.state())
    (event,) = reader.flush()

    assert CANARY not in state + repr(event) + event.text


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("field", ["service", "logger", "request_id", "event", "exception"])
def test_secret_in_a_record_of_json(field: str, secret: str) -> None:
    """A record may hold a secret in any field."""
    reader = Reader()
    (event,) = reader.feed([json.dumps({"level": "error", "event": "failed", field: secret})])

    assert CANARY not in repr(event) + event.text


def test_words_stay() -> None:
    """Text that only speaks of secrets is left as it is."""
    text = (
        "KeyError: 'PAYMENT_API_SECRET'; token: expired, password=None, 14 tokens, monkey=1, https://example.org/a?b=c"
    )

    assert redact(text) == text
