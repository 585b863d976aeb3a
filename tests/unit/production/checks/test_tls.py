"""Checks over TLS, of servers whose certificates are of every sort; the authority is one of ours."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.samples.reports import told

from testbay.production.checks.report import Report

Ask = Callable[..., Report]
Listen = Callable[[Callable[[socket.socket], None]], int]

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
TARGET = '[target.here]\nbase_url = "https://127.0.0.1:PORT"\n'
HTTP = TARGET + '[[check]]\nid = "a"\nkind = "http"\nget = "/a"\nattempts = 1\nexpect = ["status == 200"]\n'
STREAM = TARGET + '[[check]]\nid = "a"\nkind = "websocket"\nurl = "/a"\nattempts = 1\nclose = 1000\n'
HERE = x509.IPAddress(IPv4Address("127.0.0.1"))
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
ELSEWHERE = x509.DNSName("shop.example")


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def save(self, file: Path) -> Path:
        """Both, as a server loads them."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(key + self.certificate.public_bytes(Encoding.PEM))
        return file


Serve = Callable[[Callable[[Issued], Issued]], int]


def issue(by: Issued | None, host: x509.GeneralName = HERE, ends: timedelta = DAY) -> Issued:
    """A certificate for that host; by itself if by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"testbay {serial}")])
    identifier, ca = x509.SubjectKeyIdentifier.from_public_key, by is None
    parts: tuple[tuple[x509.ExtensionType, bool], ...] = (  # RFC 5280 asks for them, and Python since 3.13 insists
        (x509.SubjectAlternativeName([host]), False),
        (x509.BasicConstraints(ca=ca, path_length=None), True),
        (x509.KeyUsage(**dict.fromkeys(USAGES, False) | {"key_cert_sign": ca, "digital_signature": not ca}), True),
        (identifier(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key((by.key if by else key).public_key()), False),
    )
    builder = x509.CertificateBuilder(
        issuer_name=by.certificate.subject if by else name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=serial,
        not_valid_before=NOW - 2 * DAY,
        not_valid_after=NOW + ends,
        extensions=[x509.Extension(oid=part.oid, critical=critical, value=part) for part, critical in parts],
    )
    return Issued(certificate=builder.sign(by.key if by else key, hashes.SHA256()), key=key)


@pytest.fixture
def authority(tmp_path: Path) -> Issued:
    """Kept in a file."""
    made = issue(None)
    made.save(tmp_path / "authority.pem")
    return made


@pytest.fixture
def ask_trusting(ask: Ask, tmp_path: Path) -> Ask:
    """Asks with SSL_CERT_FILE as the one that is trusted."""
    return lambda text, port=9: ask(text, port, environ={"SSL_CERT_FILE": str(tmp_path / "authority.pem")})


@pytest.fixture
def serve(listen: Listen, tmp_path: Path, authority: Issued) -> Serve:
    """Starts a server with a certificate that is made with the authority, or without; it says 200 to everything."""

    def start(make: Callable[[Issued], Issued]) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(make(authority).save(tmp_path / "server.pem"))

        def answer(client: socket.socket) -> None:
            with suppress(ssl.SSLError), context.wrap_socket(client, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        return listen(answer)

    return start


def test_a_certificate_of_a_trusted_authority_passes(ask_trusting: Ask, serve: Serve) -> None:
    """For both ways of asking: the stream gets as far as an answer that is none."""
    port = serve(issue)

    assert told(ask_trusting(HTTP, port)) == ("pass", "GET /a → 200")
    assert told(ask_trusting(STREAM, port)) == ("fail", "WS /a: no handshake, status 200")


@pytest.mark.parametrize("asked", [HTTP, STREAM], ids=["http", "websocket"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: issue(None), "self-signed certificate"),
        (
            lambda _: issue(issue(None)),
            "unable to get local issuer certificate; does the server send its intermediate certificates?",
        ),
        (lambda trusted: issue(trusted, ends=-DAY), "certificate has expired"),
        (
            lambda trusted: issue(trusted, host=ELSEWHERE),
            "IP address mismatch, certificate is not valid for '127.0.0.1'.",
        ),
    ],
    ids=["self-signed", "authority", "expired", "host"],
)
def test_a_certificate_that_is_not_trusted_is_a_failure(
    ask_trusting: Ask, serve: Serve, make: Callable[[Issued], Issued], why: str, asked: str
) -> None:
    """With the reason, and nothing is sent."""
    verdict, said = told(ask_trusting(asked, serve(make)))

    assert (verdict, said.partition(": ")[2]) == ("fail", f"no TLS: its certificate is not trusted: {why}")


def test_a_server_that_speaks_no_tls_is_a_failure(ask: Ask, listen: Listen) -> None:
    """Where TLS is asked for."""
    port = listen(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    assert told(ask(HTTP, port)) == ("fail", "GET /a: no TLS: wrong version number; does it answer without TLS?")


def test_a_handshake_that_is_refused_or_broken_off_says_what_may_be_missing(
    ask_trusting: Ask, listen: Listen, authority: Issued, tmp_path: Path
) -> None:
    """A certificate of ours, for example; or the server just hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issue(authority).save(tmp_path / "server.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse(client: socket.socket) -> None:
        with suppress(ssl.SSLError):
            context.wrap_socket(client, server_side=True)

    says = "no TLS: sslv3 alert handshake failure; does it want a certificate of its clients, or only old ciphers?"

    def leave(client: socket.socket) -> None:
        client.recv(65536)

    port = listen(leave)
    found = [
        told(ask_trusting(text, at)) for text, at in ((HTTP, listen(refuse)), (HTTP, port), (days(port, "tls"), port))
    ]

    assert [said.partition(": ")[2] for _, said in found] == [
        says,
        "no answer: the connection was closed in the handshake",
        "no answer: the connection was reset",
    ]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("no certificate", "no certificate or crl found")]
)
def test_trusted_certificates_that_cannot_be_read_are_an_error(
    ask_trusting: Ask, tmp_path: Path, content: str | None, why: str
) -> None:
    """Whom to trust was said, and cannot be known: nobody is asked."""
    if content:
        (tmp_path / "authority.pem").write_text(content, encoding="utf-8")

    assert told(ask_trusting(HTTP)) == ("error", f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {why}")


def days(port: int, kind: str) -> str:
    """A manifest with a check of the certificate's days, by its own kind or beside an HTTP request."""
    target = f'[target.x]\nbase_url = "https://127.0.0.1:{port}"\n'
    how = f'kind = "tls"\nconnect = "127.0.0.1:{port}"' if kind == "tls" else 'kind = "http"\nget = "/a"'
    return f'{target}[[check]]\nid = "days"\nattempts = 1\n{how}\nexpect = ["certificate.days_left > 14"]'


@pytest.mark.parametrize("kind", ["tls", "http"])
def test_a_certificate_that_ends_tomorrow_is_a_failure(ask_trusting: Ask, serve: Serve, kind: str) -> None:
    """While it is still trusted; with the days that are left."""
    port = serve(issue)  # for a day
    verdict, said = told(ask_trusting(days(port, kind), port))
    rule, _, why = said.partition(": ")

    assert (verdict, rule, float(why.split()[0]) <= 1) == ("fail", "certificate.days_left > 14", True)


def test_a_certificate_for_weeks_passes(ask_trusting: Ask, serve: Serve) -> None:
    """And one for another name does not, whatever its days."""
    good = serve(lambda trusted: issue(trusted, ends=40 * DAY))
    other = serve(lambda trusted: issue(trusted, host=ELSEWHERE, ends=40 * DAY))

    assert told(ask_trusting(days(good, "tls")))[0] == "pass"
    assert "not valid for '127.0.0.1'" in told(ask_trusting(days(other, "tls")))[1]


def test_without_tls_there_is_no_certificate(ask: Ask, listen: Listen) -> None:
    """A condition on it fails closed."""
    port = listen(lambda client: client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    text = days(port, "http").replace("https:", "http:")

    assert told(ask(text, port)) == (
        "fail",
        "certificate.days_left > 14: there is no certificate: it was not asked over TLS",
    )
