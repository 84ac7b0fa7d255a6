"""Run a command with a real PostgreSQL, a real Redis, or both, told of only by environment variables.

    python -m tests.with_services postgresql redis -- pytest tests/unit

Both are started for the command alone, on free ports and in a temporary folder.
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

type Environment = dict[str, str]


class ServiceMissing(Exception):
    """A program is not installed; the message says which and how to get it."""


def find(program: str, package: str) -> str:
    """Its path, in Debian's folders for PostgreSQL too. Raises ServiceMissing."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)
    path = shutil.which(program) or next(map(str, debian), None)
    if not path:
        raise ServiceMissing(f"{program} is missing; install Debian's package {package}, or your system's.")
    return path


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
def postgresql() -> Iterator[Environment]:
    """A cluster that forgets: nothing is synchronised to disk. It refuses to run as root."""
    user = "postgres" if os.geteuid() == 0 else None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        Path(folder).chmod(0o777 if user else 0o700)
        data = f"{folder}/data"
        initdb = [find("initdb", "postgresql"), "--auth=trust", "--username=app", "--no-sync", "-D", data]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F", "-c", "max_connections=200"]
        with running([find("postgres", "postgresql"), "-D", data, *options], port, user):
            yield {"DB_HOST": "127.0.0.1", "DB_PORT": str(port), "DB_NAME": "postgres", "DB_USER": "app"}


@contextmanager
def redis() -> Iterator[Environment]:
    """A server that keeps nothing."""
    port = free_port()
    command = [find("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, running([*command, "--dir", folder], port):
        yield {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}


SERVICES: dict[str, Callable[[], AbstractContextManager[Environment]]] = {
    "postgresql": postgresql,
    "redis": redis,
}


def main(arguments: list[str]) -> int:
    """Start the services named before `--`, run the command after it, return its exit code."""
    split = arguments.index("--")
    names, command = arguments[:split], arguments[split + 1 :]
    with ExitStack() as stack:
        environment = dict(os.environ)
        try:
            for name in names:
                environment |= stack.enter_context(SERVICES[name]())
        except ServiceMissing as missing:
            sys.stdout.write(f"not run: {' '.join(command)} with {' and '.join(names)}: {missing}\n")
            return 1 if os.environ.get("CI") else 0
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
