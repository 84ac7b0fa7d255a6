"""The Datastores that tests compare: ours and Google's two emulators, each a process of its own."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from apps.appengine.local import datastore_emulator
from apps.appengine.local.preflight import free_port

EMBEDDED = "embedded"  # apps.appengine.local.datastore
DATASTORE_EMULATOR = "datastore-emulator"  # Google's first: enforces indexes
FIRESTORE_EMULATOR = "firestore-emulator"  # Google's second: today's queries, no index enforced
PATIENCE = 120  # seconds; several of Google's start at once, on two cores
ALL = (EMBEDDED, DATASTORE_EMULATOR, FIRESTORE_EMULATOR)


@dataclass(frozen=True)
class Datastore:
    """One that runs."""

    name: str
    host: str  # HOST:PORT, as in DATASTORE_EMULATOR_HOST
    pid: int

    def reset(self) -> None:
        """Empty it."""
        if self.name == EMBEDDED:
            with grpc.insecure_channel(self.host) as channel:
                channel.unary_unary("/reset")(b"", timeout=PATIENCE)
        else:
            request = urllib.request.Request(f"http://{self.host}/reset", method="POST")
            urllib.request.urlopen(request, timeout=PATIENCE).close()


def missing(name: str) -> str:
    """Why it cannot run here, or an empty string."""
    try:
        if name != EMBEDDED:
            datastore_emulator.find_java()
            datastore_emulator.find_jar(JARS[name])
    except datastore_emulator.EmulatorMissingError as error:
        return str(error)
    return ""


@contextmanager
def running(name: str, indexes: Path | None = None, file: Path | None = None) -> Iterator[Datastore]:
    """Start it, empty and in memory unless ours is given a `file`; `indexes` is an index.yaml to enforce."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="datastore-") as folder,
        (Path(folder) / "log").open("wb") as log,
        subprocess.Popen(command(name, port, Path(folder), indexes, file), stdout=log, stderr=log) as process,
    ):
        try:
            wait_until_ready(f"127.0.0.1:{port}")
            yield Datastore(name, f"127.0.0.1:{port}", process.pid)
        finally:
            process.kill()


def wait_until_ready(host: str, seconds: float = PATIENCE) -> None:
    """Raises grpc.FutureTimeoutError."""
    with grpc.insecure_channel(host, options=[("grpc.max_reconnect_backoff_ms", 100)]) as channel:
        grpc.channel_ready_future(channel).result(seconds)


JARS = {
    DATASTORE_EMULATOR: "platform/cloud-datastore-emulator/CloudDatastore.jar",
    FIRESTORE_EMULATOR: "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
}


def command(name: str, port: int, folder: Path, indexes: Path | None, file: Path | None) -> list[str]:
    if name == EMBEDDED:
        options = {"--port": port, "--indexes": indexes, "--file": file}
        given = [part for option, value in options.items() if value for part in (option, str(value))]
        return [sys.executable, "-m", "apps.appengine.local.datastore", *given]
    jar = datastore_emulator.find_jar(JARS[name])
    if name == DATASTORE_EMULATOR:
        return datastore_emulator.command(jar, port, folder, indexes, on_disk=False)
    firestore = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    java = [datastore_emulator.find_java(), "-Xmx512m", "-cp", str(jar), firestore, "start"]
    return [*java, "--database-mode=datastore-mode", "--host=127.0.0.1", f"--port={port}"]


@contextmanager
def as_emulator_host(host: str) -> Iterator[None]:
    """Clients made inside talk to `host`."""
    before = os.environ.get("DATASTORE_EMULATOR_HOST")
    os.environ["DATASTORE_EMULATOR_HOST"] = host
    try:
        yield
    finally:
        del os.environ["DATASTORE_EMULATOR_HOST"]
        if before is not None:
            os.environ["DATASTORE_EMULATOR_HOST"] = before
