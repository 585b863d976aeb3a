"""Secrets in logs: twelve kinds are planted in several formats, and none is seen anywhere afterwards."""

import base64
import json
from typing import TYPE_CHECKING, Any

from harness.commands import Run
from harness.instance import Instance, Make
from harness.logfiles import LogFolder

if TYPE_CHECKING:
    import psycopg

SECRETS = {
    "aws": "AKIA" + "Q3EGRIXKZ5T7WANM",
    "github": "ghp_" + "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry0123456",
    "anthropic": "sk-ant-api03-" + "canarycanarycanarycanary0123456789",
    "openai": "sk-proj-" + "canaryCANARYcanaryCANARY0123456789abcdef",
    "slack": "xoxb-" + "123456789012-1234567890123-canarycanarycanarycanary",
    "password": "C4naryPassw0rd",
    "url": "C4naryUrlPassw0rd",
    "bearer": "canarybearer0123456789abcdefcanary",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJlY2FuYXJ5Y2FuYXJ5",
    "cookie": "canarycookie0123456789abcdef",
    "google": "AIza" + "SyCanaryCanaryCanaryCanaryCanaryCan",
    "stripe": "sk_live_" + "canarycanarycanary012345",
}
LINES = [
    "key {aws} and token {github} were refused",
    "x-api-key: {anthropic} with OPENAI_API_KEY={openai}",
    "slack said no to {slack}",
    "login failed: password={password} user=bob",
    "cannot connect to postgresql://bob:{url}@db.internal:5432/shop",
    "Authorization: Bearer {bearer}",
    "token {jwt} has expired",
    "Cookie: session={cookie}; Path=/",
    "maps key {google}, stripe key {stripe}",
]


def plant(logs: LogFolder) -> None:
    """Each line as a plain record, as JSON, as logfmt, as an exception's message, and behind collectors' prefixes."""
    for number, line in enumerate(LINES):
        text = line.format(**SECRETS)
        logs.write(f"2026-01-02 03:04:05,678 ERROR shop.{number}: {text}\n", "plain.log")
        logs.write(json.dumps({"level": "error", "event": text, "logger": f"shop.{number}"}) + "\n", "json.log")
        logs.write(
            f'Traceback (most recent call last):\n  File "/srv/a{number}.py", line 1, in f\n    f()\n', "trace.log"
        )
        logs.write(f"RuntimeError: {text}\n", "trace.log")
        logs.write(f"web-1  | ERROR shop.{number}: {text}\n", "compose.log")
        logs.write(f"2026-01-02T03:04:05.678Z stderr F ERROR shop.{number}: {text}\n", "cri.log")
        logs.write(f"<11>1 2026-01-02T03:04:05Z web shop 7 - - ERROR shop.{number}: {text}\n", "syslog.log")
        logs.write(json.dumps({"log": f"ERROR shop.{number}: {text}\n", "stream": "stderr"}) + "\n", "docker.log")
        logs.write(f"time=2026-01-02T03:04:05Z level=error msg={json.dumps(text)}\n", "logfmt.log")
    for file in logs.path.iterdir():
        logs.write("INFO the end\n", file.name)


def everything(instance: Instance, postgres: "psycopg.Connection[Any]") -> dict[str, str]:
    """All that a person, a program or an administrator could look at."""
    addresses = ("/", "/dashboard", "/autonomous/status", "/errors/patterns?limit=200", "/metrics", "/gaps", "/scans")
    shown = {path: instance.client.get(path).text for path in addresses}
    for one in instance.patterns():
        shown[one["fingerprint"]] = instance.client.get(f"/errors/{one['fingerprint']}").text
    tables = postgres.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'error_monitor'"
    ).fetchall()
    for (table,) in tables:
        shown[table] = str(postgres.execute(f"SELECT t::text FROM error_monitor.{table} t").fetchall())  # noqa: S608
    return shown | {"own log": instance.logs()}


def forms(secret: str) -> list[str]:
    """A secret as it is, backwards, in hexadecimal and in base64."""
    encoded = [base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3)]
    return [secret, secret[::-1], secret.encode().hex(), *encoded]


def test_no_secret_is_seen_anywhere(
    monitor: Make, run: Run, logs: LogFolder, postgres: "psycopg.Connection[Any]"
) -> None:
    """In no form, in no table, page, answer, metric, log or report for issues; the errors themselves are there."""
    plant(logs)
    logs.write('Traceback (most recent call last):\n  File "/srv/a.py", line 1, in f\n', "open.log")
    logs.write(f"    connect('{SECRETS['github']}')\n", "open.log")
    # What has begun and not ended stays in the cursor, and is looked for there, too.
    one = monitor(ERROR_MONITOR_SETTLE_S="600", ERROR_MONITOR_SCAN_DEADLINE_S="240")
    one.scan()
    severities = ("critical", "high", "medium", "low")

    shown = everything(one, postgres)
    shown["issues"] = run("report", *(part for name in severities for part in ("--severity", name)))[1]
    found = [
        f"{name} in {place}"
        for name, secret in SECRETS.items()
        for place, text in shown.items()
        if any(form in text for form in forms(secret))
    ]
    assert (found, len(one.patterns()) > 5, "were refused" in shown["issues"]) == ([], True, True)
