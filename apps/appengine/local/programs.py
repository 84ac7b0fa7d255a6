"""What `make run` starts, and with which arguments and environment."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apps.appengine import app_yaml

from . import datastore_emulator, dockerfile, preflight
from .processes import Program

QUEUE_GRACE_SECONDS = 10
DATASTORES = ("embedded", "emulator")  # LOCAL_DATASTORE: ours, or Google's
EXPIRES_AT = "expires_at"  # the property that TTL policies name, in every kind that has it
TARGETS = ("appengine", "http")  # TASKS_TARGET: everything as on App Engine, or as on Cloud Run
SERVICE_ACCOUNT = "tasks@local.iam.gserviceaccount.com"
CERTIFICATES = "/oauth2/v1/certs"
# What `manage.py` commands beside the run need, kept in $LOCAL_HOME/run.env.
SHARED = ["DATASTORE_EMULATOR_HOST", "CLOUD_TASKS_EMULATOR_HOST", "CLOUD_TASKS_LOCATION", "TASKS_TARGET"]
SHARED_ON_CLOUD_RUN = ["TASKS_URL", "TASKS_AUDIENCE", "TASKS_SERVICE_ACCOUNT", "OIDC_CERTS_URL"]


@dataclass
class Run:
    """One local run: its folders, its ports and what it must start itself."""

    root: Path  # the project
    home: Path  # what the run keeps
    sockets: Path  # a private, short-lived folder
    port: int
    listening: list[socket.socket]
    lock: int

    def __post_init__(self) -> None:
        """Raises RefusedError: TASKS_TARGET; ValueError: app.yaml or the Dockerfile."""
        target = os.environ.get("TASKS_TARGET") or "appengine"
        if target not in TARGETS:
            raise preflight.RefusedError(f"TASKS_TARGET is {' or '.join(TARGETS)}, not {target}.")
        self.cloud_run = target == "http"
        self.issuer_port = preflight.free_port()
        self.app = app_yaml.read(self.root / "app.yaml")
        self.entrypoint = (
            dockerfile.start_command(self.root / "Dockerfile") if self.cloud_run else self.app.entrypoint
        )
        self.starts_datastore = not os.environ.get("DATASTORE_EMULATOR_HOST")
        self.starts_queue_server = not os.environ.get("CLOUD_TASKS_EMULATOR_HOST")
        self.environment = self._environment()

    def _environment(self) -> dict[str, str]:
        """What every program gets: the developer's own environment, and what makes this a local run."""
        return {
            **os.environ,
            "DATASTORE_EMULATOR_HOST": os.environ.get("DATASTORE_EMULATOR_HOST") or private_address(),
            "CLOUD_TASKS_EMULATOR_HOST": os.environ.get("CLOUD_TASKS_EMULATOR_HOST") or private_address(),
            "CLOUD_TASKS_LOCATION": "local",
            "DJANGO_SETTINGS_MODULE": "mysite.settings.local",
            "GOOGLE_CLOUD_PROJECT": "local",
            "LOCAL_HOME": str(self.home),
            "LOCAL_RUNTIME": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "TASKS_TARGET": "appengine",
            **(self._cloud_run_environment() if self.cloud_run else {}),
        }

    def _cloud_run_environment(self) -> dict[str, str]:
        """What Cloud Run sets, and what a deployment to it is told."""
        return {
            "K_SERVICE": "web",
            "K_REVISION": "web-local",
            "TASKS_TARGET": "http",
            "TASKS_URL": f"http://127.0.0.1:{self.port}",
            "TASKS_AUDIENCE": f"http://127.0.0.1:{self.port}",
            "TASKS_SERVICE_ACCOUNT": SERVICE_ACCOUNT,
            "OIDC_CERTS_URL": f"http://127.0.0.1:{self.issuer_port}{CERTIFICATES}",
        }

    def datastore(self) -> Program:
        """Raises RefusedError: LOCAL_DATASTORE; EmulatorMissingError: Google's is missing."""
        wanted = os.environ.get("LOCAL_DATASTORE") or "embedded"
        if wanted not in DATASTORES:
            raise preflight.RefusedError(f"LOCAL_DATASTORE is {' or '.join(DATASTORES)}, not {wanted}.")
        port = int(self.environment["DATASTORE_EMULATOR_HOST"].rpartition(":")[2])
        index_yaml = self.root / "index.yaml"
        if wanted == "emulator":
            return self._emulator(port, index_yaml if index_yaml.exists() else None)
        options: dict[str, object] = {
            "port": port,
            "file": self.home / "datastore.sqlite3",
            "ttl": EXPIRES_AT,
        }
        if index_yaml.exists():
            options["indexes"] = index_yaml
        return self._program("datastore", module("apps.appengine.local.datastore", options))

    def _emulator(self, port: int, index_yaml: Path | None) -> Program:
        jar = datastore_emulator.find_jar()
        command = datastore_emulator.command(jar, port, self.home / "datastore", index_yaml)
        return self._program("datastore", command, log=self.home / "datastore.log", stop_seconds=5)

    def queue_server(self) -> Program:
        options: dict[str, object] = {
            "queue-yaml": self.root / "queue.yaml",
            "data": self.home / "queues.sqlite3",
            "grpc": self.environment["CLOUD_TASKS_EMULATOR_HOST"],
            "page": self.unix("queues"),
            "app": self.unix("web"),
            "grace": QUEUE_GRACE_SECONDS,
        }
        if self.cloud_run:
            options["keys"] = self.keys
        command = module("apps.appengine.local.queue_server", options)
        return self._program("queues", command, stop_seconds=QUEUE_GRACE_SECONDS + 1)

    def issuer(self) -> Program:
        """Cloud Run only: App Engine's tasks carry no tokens."""
        options = {"keys": self.keys, "port": self.issuer_port}
        return self._program("issuer", module("apps.appengine.local.issuer", options))

    @property
    def keys(self) -> Path:
        return self.sockets / "keys"

    def web(self) -> Program:
        """The entrypoint of app.yaml, or the Dockerfile's command, on a socket where production has PORT."""
        command = [*self.entrypoint, "--bind", self.unix("web"), "--graceful-timeout", "3"]
        return self._program("web", command, stop_seconds=4)

    def front_door(self) -> Program:
        options = {"app": self.unix("web"), "app-yaml": self.root / "app.yaml"}
        descriptors = tuple(listening.fileno() for listening in self.listening)
        sockets = [part for descriptor in descriptors for part in ("--fd", str(descriptor))]
        pages = [part for name in self.pages() for part in ("--page", f"{name}={self.unix(name)}")]
        command = [*module("apps.appengine.local.front_door", options), *sockets, *pages]
        if self.cloud_run:
            command.append("--cloud-run")
        return self._program("door", command, fds=descriptors)

    def cron_clock(self) -> Program:
        options: dict[str, object] = {
            "cron-yaml": self.root / "cron.yaml",
            "state": self.home / "cron.json",
            "page": self.unix("cron"),
        }
        if self.cloud_run:
            options |= {
                "url": self.environment["TASKS_URL"],
                "audience": self.environment["TASKS_AUDIENCE"],
                "service-account": SERVICE_ACCOUNT,
                "keys": self.keys,
            }
        else:
            options["app"] = self.unix("web")
        return self._program("cron", module("apps.appengine.local.cron_clock", options))

    def datastore_viewer(self) -> Program:
        options = {
            "page": self.unix("datastore"),
            "datastore": self.environment["DATASTORE_EMULATOR_HOST"],
            "indexes": self.root / "index.yaml",
        }
        return self._program("viewer", module("apps.appengine.local.datastore_viewer", options))

    def manage(self, *arguments: str) -> Program:
        return self._program("manage", [sys.executable, str(self.root / "manage.py"), *arguments])

    def pages(self) -> list[str]:
        """The parts that show a page of their own under /_local/."""
        return [*(["queues"] if self.starts_queue_server else []), "cron", "datastore"]

    def unix(self, name: str) -> str:
        return f"unix:{self.sockets / name}"

    def shared(self) -> str:
        """The lines of run.env."""
        names = SHARED + (SHARED_ON_CLOUD_RUN if self.cloud_run else [])
        return "".join(f"{name}={self.environment[name]}\n" for name in names)

    def _program(
        self,
        name: str,
        command: list[str],
        *,
        fds: tuple[int, ...] = (),
        log: Path | None = None,
        stop_seconds: float = 3,
    ) -> Program:
        """Every program holds the lock: the folder is free when the last one has ended."""
        return Program(
            name=name,
            command=command,
            environment=self.environment,
            fds=(*fds, self.lock),
            log=log,
            stop_seconds=stop_seconds,
        )


def module(name: str, options: Mapping[str, object]) -> list[str]:
    """The command that runs a module of ours with these options."""
    return [
        sys.executable,
        "-m",
        name,
        *(part for key, value in options.items() for part in (f"--{key}", str(value))),
    ]


def private_address() -> str:
    return f"127.0.0.1:{preflight.free_port()}"
