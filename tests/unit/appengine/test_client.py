import subprocess
import sys

import pytest

FORK = """
import os
from apps.appengine.tasks.client import client

before = client()
assert client() is before
if os.fork() == 0:
    os._exit(0 if client() is not before else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_forked_worker_makes_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gRPC channel does not survive a fork. In a process of its own: this one has threads."""
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1")

    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=30)
