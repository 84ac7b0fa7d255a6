"""What must be free before anything is started: the folder of the run and the port."""

import errno
import fcntl
import os
import random
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
    """Take the folder for this run; the descriptor holds it, in every process that has it.

    Waits for what a killed run left behind to save and end. Raises RefusedError when a run is on.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + STRAGGLER_SECONDS
    while not try_lock(descriptor):
        owner = int(os.pread(descriptor, 20, 0) or 0)
        if is_alive(owner) or time.monotonic() > deadline:
            raise RefusedError(
                f"Another run uses {home} (process {owner}). Stop it, or give this one a folder and a port "
                "of its own: LOCAL_HOME=/path PORT=8081 make run"
            )
        time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return process > 0


def listen(port: int) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where it exists, ::1. Raises RefusedError when one is taken."""
    sockets = []
    for family, address in [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]:
        try:
            sockets.append(socket.create_server((address, port), family=family, backlog=1024))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RefusedError(
                    f"Port {port} is taken by another program. Choose another one: PORT={port + 1} make run"
                ) from error
            if family == socket.AF_INET:
                raise RefusedError(f"Cannot listen on port {port}: {error.strerror}. Set PORT.") from error
    return sockets


def free_port() -> int:
    """A port on 127.0.0.1 that nothing uses and no outgoing connection will be given."""
    while True:
        port = random.choice(PRIVATE_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
