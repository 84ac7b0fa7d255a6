"""Start the embedded Datastore: `python -m apps.appengine.local.datastore --help`."""

import argparse
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from . import server
from .store import Store


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="datastore", description="A local Datastore.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8081, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--file", type=Path, help="the SQLite file that keeps the entities (none: it forgets)"
    )
    parser.add_argument(
        "--indexes", type=Path, help="index.yaml: queries that need another index are refused"
    )
    parser.add_argument("--ttl", default="", help="the property of a time after which an entity is deleted")
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM or SIGINT. What is wrong is said in one line."""
    args = arguments()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        store = Store(args.file, args.indexes, args.ttl)
    except (sqlite3.Error, ValueError, OSError) as error:
        sys.exit(f"datastore: {args.file or args.indexes}: {error}")
    datastore = server.Datastore(store)
    try:
        grpc_server, port = server.start(datastore, args.host, args.port)
    except OSError as error:
        sys.exit(f"datastore: {error}")
    print(f"datastore: gRPC on {args.host}:{port}, {args.file or 'in memory'}", flush=True)  # noqa: T201  the ready line
    server.expire(datastore, stopped)
    grpc_server.stop(grace=0.5).wait()
    store.close()


if __name__ == "__main__":
    main()
