"""The one call to Secret Manager. Imported only where there is something to read: see secrets.py."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import google.auth
import google_crc32c
import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)

from apps.appengine.secrets import SecretsUnavailable

TRANSIENT = if_exception_type(exceptions.ServiceUnavailable, exceptions.ResourceExhausted)


def read(paths: Collection[str], emulator: str = "", deadline: float = 10.0) -> dict[str, str]:
    """The values of all secret versions, asked for at once, by path (`projects/P/secrets/S/versions/V`).

    `emulator`: a host:port to call without credentials or encryption, for tests. Raises
    SecretsUnavailable naming every version that could not be read within `deadline` seconds.
    """
    ends = time.monotonic() + deadline
    client, account = connect(emulator)
    with client, ThreadPoolExecutor(len(paths)) as pool:
        answers = dict(zip(paths, pool.map(partial(ask, client, account, ends), paths), strict=True))
    if problems := [str(answer) for answer in answers.values() if isinstance(answer, SecretsUnavailable)]:
        raise SecretsUnavailable("\n".join(problems))
    return {path: answer for path, answer in answers.items() if isinstance(answer, str)}


def connect(emulator: str) -> tuple[Any, Callable[[], str]]:
    """A client, and a function that names the account it calls as, where that is known."""
    if emulator:
        transport = SecretManagerServiceGrpcTransport(channel=grpc.insecure_channel(emulator))
        return SecretManagerServiceClient(transport=transport), str
    try:
        credentials, _ = google.auth.default()
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise SecretsUnavailable(f"Secret Manager: no credentials to call it with. {error}") from None
    client = SecretManagerServiceClient(credentials=credentials)
    return client, lambda: getattr(credentials, "service_account_email", "")


def ask(client: Any, account: Callable[[], str], ends: float, path: str) -> str | SecretsUnavailable:
    """The value of one version, or why there is none. `ends`: when to give up, by time.monotonic()."""
    left = max(ends - time.monotonic(), 0.001)
    retry = Retry(TRANSIENT, initial=0.1, maximum=1, timeout=left)
    try:
        return value_of(client.access_secret_version(name=path, timeout=left, retry=retry).payload)
    except exceptions.GoogleAPIError as error:
        return SecretsUnavailable(f"{path} {reason(error, path, account())}")
    except ValueError as error:
        return SecretsUnavailable(f"{path} {error}")


def value_of(payload: Any) -> str:
    """The payload's text. Raises ValueError, without any of it, when it is damaged, empty or no text."""
    if "data_crc32c" in payload and google_crc32c.value(payload.data) != payload.data_crc32c:
        raise ValueError("arrived damaged: its checksum (crc32c) does not match")
    try:
        value: str = payload.data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if not value.strip():
        raise ValueError("is empty: add a version that holds the value")
    if "\0" in value:
        raise ValueError("holds a NUL, which no environment variable can")
    return value


def reason(error: exceptions.GoogleAPIError, path: str, account: str) -> str:
    """What went wrong and what to do about it."""
    _, project, _, name, _, _ = path.split("/")
    cause = getattr(error, "cause", None) or error  # a RetryError's last failure
    if isinstance(cause, exceptions.NotFound):
        options = f"{name} --project={project} --data-file=-"
        return (
            f"does not exist. Make the secret with `gcloud secrets create {options}`, "
            f"or another version of it with `gcloud secrets versions add {options}`."
        )
    if isinstance(cause, exceptions.PermissionDenied):
        # Credentials of the metadata server are called "default" until they are first used.
        member = f"serviceAccount:{account}" if "@" in account else "the service account this runs as"
        return (
            f"may not be read. Grant roles/secretmanager.secretAccessor on {name} in {project} to {member}."
        )
    if isinstance(error, exceptions.DeadlineExceeded | exceptions.RetryError):
        return f"was not answered in time ({type(cause).__name__})."
    return f"could not be read: {getattr(cause, 'message', None) or type(cause).__name__}"
