"""`manage.py check`, and with `--deploy` what must not reach production. Every id is stable.

Importing registers. An Error fails in production, now or under load; a Warning is what somebody may have
meant. Nothing here opens a connection or reads a secret: files, settings and the environment only.
"""

from . import agreement, capacity, exposure, files, handlers, secret_values, server, stores, tasks

__all__ = [
    "agreement",
    "capacity",
    "exposure",
    "files",
    "handlers",
    "secret_values",
    "server",
    "stores",
    "tasks",
]
