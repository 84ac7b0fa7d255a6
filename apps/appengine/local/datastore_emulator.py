"""Finds and starts the Datastore emulator of the Google Cloud SDK (Firestore in Datastore mode).

For LOCAL_DATASTORE=emulator, and for the tests that hold the embedded Datastore against it. The jar is
started directly: `gcloud beta emulators datastore` adds a second and 60 MB.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

JAR = "platform/cloud-datastore-emulator/CloudDatastore.jar"
MAIN_CLASS = "com.google.cloud.datastore.emulator.CloudDatastore"
USUAL_PLACES = [
    "/usr/lib/google-cloud-sdk",
    "~/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
]
INSTEAD = "Or leave LOCAL_DATASTORE out: the embedded Datastore needs neither."


class EmulatorMissingError(Exception):
    """Java or the emulator is not installed; the message says what to install."""


def sdk_roots() -> Iterator[Path]:
    """Where the Google Cloud SDK may be: named, around the `gcloud` on PATH, in the usual places."""
    if named := os.environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(named)
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parent.parent
    yield from (Path(place).expanduser() for place in USUAL_PLACES)


def find_jar(path: str = JAR) -> Path:
    """The emulator's jar, `path` below the SDK. Raises EmulatorMissingError."""
    for root in sdk_roots():
        if (jar := root / path).exists():
            return jar
    raise EmulatorMissingError(
        "The Datastore emulator of the Google Cloud SDK is missing. Install it: "
        "`gcloud components install cloud-datastore-emulator`, or with Debian's packages "
        f"`apt-get install google-cloud-cli-datastore-emulator`. {INSTEAD}"
    )


def find_java() -> str:
    """A Java that runs (macOS has a stub that does not). Raises EmulatorMissingError."""
    java = shutil.which("java")
    if java:
        answer = subprocess.run([java, "-version"], capture_output=True, check=False)  # noqa: S603  found on PATH
        if answer.returncode == 0:
            return java
    raise EmulatorMissingError(
        f"Java is missing; the Datastore emulator needs it. Install a JRE, version 21 or newer. {INSTEAD}"
    )


def command(
    jar: Path, port: int, directory: Path, index_yaml: Path | None, *, on_disk: bool = True
) -> list[str]:
    """The command that serves Datastore on 127.0.0.1. Without `on_disk`, POST /reset empties it in 10 ms.

    With `index_yaml` a query whose index is not listed there fails, as it does in production. SIGTERM
    makes it save and end; a SIGKILL loses up to half a minute of writes.
    """
    options = {
        "host": "127.0.0.1",
        "port": port,
        "store_on_disk": str(on_disk).lower(),
        # Its sequential ids have overwritten entities that were given the same id by name.
        "auto_id_policy": "SCATTERED",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    indexes = [f"--index_file={index_yaml.resolve()}", "--require_indexes"] if index_yaml else []
    java = [find_java(), "-Xmx256m", "-cp", str(jar), MAIN_CLASS, "start"]
    return [*java, "--firestore_in_datastore_mode", *flags, *indexes, str(directory)]
