"""Queue a task that the sweep would queue later anyway."""

import logging
from typing import Any

from django.tasks import Task

log = logging.getLogger(__name__)


def enqueue(task: "Task[..., Any]", *args: Any) -> bool:
    """Queue `task`, or leave the delivery to the sweep when that fails. Whether it was queued.

    The delivery's `due` is committed before, so a task that could not be queued is late, not lost.
    """
    try:
        task.enqueue(*args)
    except Exception as error:  # noqa: BLE001  whatever the fault, the ledger says what is to be done
        log.warning("%s is left to the sweep: %s", task.module_path, error)
        return False
    return True
