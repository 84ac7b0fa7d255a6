"""The issuer's keys, in a folder: the issuer makes them, the queue server and the cron clock sign with them.

They change as Google's do: a new key is shown before it signs, for as long as somebody may keep an older
page; an old one is shown until its last token has expired. Times are Unix times, in seconds.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

ISSUER = "https://accounts.google.com"
TOKEN_SECONDS = 3600
MAX_AGE = 3600  # seconds the page may be kept
EVERY = 6 * 3600  # seconds between two new keys; more than the two above together
KEPT = 3  # the next one, the one that signs, and the one before it
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "local issuer")])


@dataclass(frozen=True)
class Key:
    """One private key on disk."""

    file: Path
    made: float

    @property
    def id(self) -> str:
        return self.file.stem.partition("-")[2]


def keys(folder: Path) -> list[Key]:
    """The keys in the folder, the newest first."""
    found = [Key(file, float(file.stem.partition("-")[0])) for file in folder.glob("*.pem")]
    return sorted(found, key=lambda key: key.made, reverse=True)


def rotate(folder: Path, now: float) -> None:
    """Make a key where it is time for one, and remove those that no living token was signed with."""
    known = keys(folder)
    if not known or now >= known[0].made + EVERY:
        make(folder, now)
    for key in keys(folder)[KEPT:]:
        key.file.unlink()


def make(folder: Path, now: float) -> None:
    """A new key; it appears in the folder in one step."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    draft = folder / "draft"
    draft.touch(mode=0o600)
    draft.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    # As long as Google's key ids; a name, not a protection.
    draft.rename(folder / f"{int(now)}-{hashlib.sha256(public).hexdigest()[:40]}.pem")


def certificates(folder: Path) -> dict[str, str]:
    """What the page shows: a certificate in PEM by key id."""
    return {key.id: certificate(key) for key in keys(folder)}


def certificate(key: Key) -> str:
    """Self-signed, in PEM."""
    private = serialization.load_pem_private_key(key.file.read_bytes(), None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise TypeError(f"{key.file} holds no RSA key")
    made = datetime.fromtimestamp(key.made, UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made - timedelta(days=1))
        .not_valid_after(made + timedelta(days=30))
    )
    return built.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def signing_key(folder: Path, now: float) -> Key:
    """The newest key that every kept page shows; the oldest where none is so old. Raises LookupError."""
    known = keys(folder)
    if not known:
        raise LookupError(f"the local issuer has made no key in {folder} yet")
    return next((key for key in known if now >= key.made + MAX_AGE), known[-1])


@cache
def signer(key: Key) -> crypt.RSASigner:
    """Kept, since reading a private key takes a hundred times as long as signing with it."""
    loaded: crypt.RSASigner = crypt.RSASigner.from_string(  # type: ignore[no-untyped-call]  # google-auth is half typed
        key.file.read_bytes(), key.id
    )
    return loaded


def token(folder: Path, *, audience: str, email: str, now: float) -> str:
    """An OIDC token as Google makes it for a service account. Raises LookupError: there is no key yet."""
    key = signing_key(folder, now)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": audience,
        "azp": email,
        "sub": email,
        "email": email,
        "email_verified": True,
        "iat": int(now),
        "exp": int(now) + TOKEN_SECONDS,
    }
    encoded: bytes = jwt.encode(signer(key), claims)  # type: ignore[no-untyped-call]  # google-auth is half typed
    return encoded.decode()
