"""From an error event to its pattern.

fingerprint.fingerprint(event) -> Fingerprint(key="v1:…", reason="…")
classify.classify(event) -> Classification(category="…", severity="…", fixable=True, reason="…")
"""
