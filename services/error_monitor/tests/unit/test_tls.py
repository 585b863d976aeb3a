"""Which certificates a client trusts."""

import ssl

import pytest

from error_monitor.tls import verify


@pytest.mark.parametrize("url", ["https://api.invalid/v1", "HTTPS://api.invalid", "", "api.invalid"])
def test_https_trusts_what_is_usual(url: str) -> None:
    """A text that cannot be read as an address counts as HTTPS: in doubt the client checks certificates."""
    assert verify(url) is True


def test_plain_http_trusts_no_certificate() -> None:
    """A redirect from there to https is verified, and fails."""
    context = verify("http://127.0.0.1:3100")

    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname, context.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
