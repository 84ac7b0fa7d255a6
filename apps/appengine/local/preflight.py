"""What must be free before anything is started: the folder of the run and the port."""

import errno
import fcntl
import os
import secrets
import socket
import time
from pathlib import Path

# Below the range from which Linux and macOS take ports for outgoing connections: a client that tries to
# reach a server being restarted could otherwise be given the server's own port.
PRIVATE_PORTS = range(20_000, 32_000)
STRAGGLER_SECONDS = 20.0


class RefusedError(Exception):
    """The run cannot start; the message says why and what to do."""


def lock(home: Path) -> int:
    """Take the folder for this run: a descriptor that keeps it taken in every process that inherits it.

    Raises RefusedError when another supervisor has it. What a killed one left behind, which may still be
    saving its data, is waited for.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not try_lock(open_lock(home / "supervisor.lock")):
        raise RefusedError(
            f"Another run uses {home}. Stop it, or give this one a folder and a port of its own: "
            "LOCAL_HOME=/path PORT=8081 ./run"
        )
    descriptor = open_lock(home / "programs.lock")
    deadline = time.monotonic() + STRAGGLER_SECONDS
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            raise RefusedError(
                f"Programs of an earlier run in {home} have not ended within {STRAGGLER_SECONDS:g} s. "
                f"Find them with `fuser {home}/programs.lock` and stop them."
            )
        time.sleep(0.1)
    return descriptor


def open_lock(path: Path) -> int:
    """A descriptor, held until this process ends."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listen(port: int) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where it exists, ::1. Raises RefusedError when one is taken."""
    sockets = []
    for family, address in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
        try:
            sockets.append(socket.create_server((address, port), family=family, backlog=1024))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RefusedError(
                    f"Port {port} is taken by another program. Choose another one: PORT={port + 1} ./run"
                ) from error
            if family == socket.AF_INET:
                raise RefusedError(f"Cannot listen on port {port}: {error.strerror}. Set PORT.") from error
    return sockets


def free_port() -> int:
    """A port on 127.0.0.1 that nothing uses and no outgoing connection will be given."""
    while True:
        port = secrets.choice(PRIVATE_PORTS)  # not `random`, which tests seed alike in each process
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
