"""The pattern of an error event.

fingerprint.fingerprint(event) -> Fingerprint(key="v1:…", reason="…")
classify.classify(event) -> Classification(category="…", severity="…", fixable=True, reason="…")
"""
