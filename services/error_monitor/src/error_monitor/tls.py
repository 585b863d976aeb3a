"""Trust in certificates, which only an https address needs: to load them takes each client 30 ms."""

import ssl

_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts no certificate: a redirect to https would be refused


def verify(url: str) -> ssl.SSLContext | bool:
    """Return the setting `verify` of httpx for a client of this address."""
    return _NOTHING if url.lower().startswith("http:") else True
