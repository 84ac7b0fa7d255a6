"""What gives a server of Google's its identity, in the process of the test: no key file anywhere.

The metadata server hands out a token of the service account. The IAM Credentials API signs bytes for
whoever has such a token; it is reached as clients reach it, at its own address over HTTPS, through a
proxy that ends the encryption with a certificate of the test's.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

IAM = "iamcredentials.googleapis.com"


@dataclass
class ServiceAccount:
    """One account, its token, and what it was asked to sign."""

    email: str
    project: str
    token: str = "ya29.of-a-test"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    signed: list[bytes] = field(default_factory=list)

    def sign(self, text: bytes) -> bytes:
        self.signed.append(text)
        return self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def metadata_server(account: ServiceAccount) -> type[BaseHTTPRequestHandler]:
    """https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys"""
    own = "/computeMetadata/v1/instance/service-accounts"
    token = json.dumps({"access_token": account.token, "expires_in": 3600, "token_type": "Bearer"})
    about = json.dumps({"email": account.email, "aliases": ["default"], "scopes": []})
    answers = {
        "/": "",
        "/computeMetadata/v1/project/project-id": account.project,
        **{f"{own}/{name}/": about for name in ("default", account.email)},
        **{f"{own}/{name}/token": token for name in ("default", account.email)},
    }

    class Handler(Quiet):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            kind = "application/json" if (answer or "").startswith("{") else "text/plain"
            self.answer(200 if answer is not None else 404, (answer or "").encode(), kind)

    return Handler


def iam_credentials(account: ServiceAccount, certificate: Path) -> type[BaseHTTPRequestHandler]:
    """A proxy for HTTPS that is the IAM Credentials API itself, and nothing else.

    https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    class Handler(Quiet):
        def do_CONNECT(self) -> None:
            if self.path != f"{IAM}:443":
                self.answer(502)
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)
            self.close_connection = False

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            wanted = f"/v1/projects/-/serviceAccounts/{account.email}:signBlob"
            if self.path.partition("?")[0] != wanted:
                self.answer(404)
            elif self.headers["authorization"] != f"Bearer {account.token}":
                self.answer(403)
            else:
                signature = base64.b64encode(account.sign(base64.b64decode(body["payload"]))).decode()
                self.answer(200, json.dumps({"keyId": "1", "signedBlob": signature}).encode())

    return Handler


class Quiet(BaseHTTPRequestHandler):
    """Says nothing, and is known as Google's."""

    protocol_version = "HTTP/1.1"

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # what do_CONNECT put in the place of the server's own

    def answer(self, status: int, body: bytes = b"", kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("metadata-flavor", "Google")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(account: ServiceAccount, folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which Google's clients have this account and nothing else has a proxy."""
    certificate = self_signed(folder / "iam.pem")
    metadata, iam = metadata_server(account), iam_credentials(account, certificate)
    with listening(metadata) as metadata_host, listening(iam) as proxy:
        yield {
            "GCE_METADATA_HOST": metadata_host,
            "GCE_METADATA_IP": metadata_host,
            "HTTPS_PROXY": f"http://{proxy}",
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(certificate),
        }


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """HOST:PORT of a server with that handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(path: Path) -> Path:
    """The IAM Credentials API's certificate and key, good for an hour, in one file."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, IAM)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(IAM)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    own = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + own)
    return path
