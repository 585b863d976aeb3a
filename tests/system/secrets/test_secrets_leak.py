"""The proof that no form of a secret can be read afterwards, and the proof that the proof would notice."""

import os
import sys
from typing import Any
from unittest.mock import patch

import pytest
from tests.system.fakes.cloud import CANARY, Shop

from testbay import masking, output, settings
from testbay.errors import BayError
from testbay.manifest.load import load_manifest
from testbay.masking import forms
from testbay.output import Voice
from testbay.secrets import command as secrets

# What careless tests do: print the value, print it on the way to something else, keep it in a report in some form.
CARELESS = """
import base64, json, os, pathlib, urllib.parse
key = os.environ["KEY"]
print("key:", key)
print(json.dumps({"key": key}), urllib.parse.quote(key), base64.b64encode(b"user:" + key.encode()).decode())
encoded = base64.b64encode(key.encode()).decode()
forms = [key, key[::-1], key.encode().hex(), urllib.parse.quote(key), json.dumps(key), encoded]
for number, text in enumerate(forms):
    pathlib.Path(os.environ["REPORTS"], f"report-{number}").write_text(text)
"""


def shown(log: str) -> str:
    """A log as GitHub's runner shows it: from a mask on, the value, its lines and what they are encoded to are ***."""
    values: set[str] = set()
    lines = []
    for line in log.split("\n"):
        if line.startswith("::add-mask::"):
            text = line.removeprefix("::add-mask::")
            value = text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
            values |= {value, *value.splitlines()}
        else:
            lines.append(masking.masked(line, values))
    return "\n".join(lines)


def leaks(shop: Shop, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Where a form of the secret can be read after a careless command: `log`, or a file's name."""
    env = {name: value for name, value in shop.environ.items() if value} | {"REPORTS": str(shop.reports)}
    command = [sys.executable, "-c", CARELESS]
    with patch.dict(os.environ, env, clear=True):
        chosen = settings.load()
        voice, masks = Voice(sys.stderr, environ=chosen.environ), Voice(environ=chosen.environ)
        manifest = load_manifest(shop.service)
        try:
            secrets.execute(manifest, shop.project, chosen, voice, command, masks=masks, from_env=False)
        except BayError as error:
            voice.error(error)
    out, err = capfd.readouterr()
    places = {file.name: file.read_text() for file in shop.reports.iterdir()} | {"log": shown(out + err)}
    return [name for name, text in places.items() if any(form in text for form in forms(CANARY))]


def test_no_form_of_a_secret_can_be_read(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """A careless command printed it and wrote it into reports: neither log nor any file has a form of it."""
    assert leaks(shop, capfd) == []


def test_the_proof_notices_a_mask_without_escapes(
    shop: Shop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: only the first line becomes a mask, and the others are read in the log."""
    monkeypatch.setattr(output, "_message", str)

    assert leaks(shop, capfd) == ["log"]


def test_the_proof_notices_a_missing_scan(
    shop: Shop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: nothing is searched, and the reports stay."""
    monkeypatch.setattr(masking.Scan, "finds", lambda *_: False)

    assert sorted(leaks(shop, capfd)) == [f"report-{number}" for number in range(6)]


def test_the_proof_notices_a_mask_that_comes_too_late(
    shop: Shop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: what the command printed before the mask is read in the log."""
    delayed: list[tuple[Voice, str]] = []
    mask, search = Voice.mask, secrets._search

    def search_after_masks(*arguments: Any, **options: Any) -> None:
        for voice, value in delayed:
            mask(voice, value)
        search(*arguments, **options)

    monkeypatch.setattr(Voice, "mask", lambda voice, value: delayed.append((voice, value)))
    monkeypatch.setattr(secrets, "_search", search_after_masks)

    assert leaks(shop, capfd) == ["log"]
