"""docs/follow-a-message.md names the functions that a message passes: here one passes them."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import pytest
from webtest import TestApp

import main
from apps.applications.models import Application, Endpoint
from tests.conftest import Receiver
from tests.draining_backend import DrainingBackend

ROOT = Path(__file__).resolve().parents[2]
STEPS = re.findall(r"^\d+\. `(\S+: \S+)`$", (ROOT / "docs/follow-a-message.md").read_text(), re.MULTILINE)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("datastore", "private_endpoints")]


@contextmanager
def calls_of_ours() -> Iterator[list[str]]:
    """Every function of apps/ that is called meanwhile, in any thread: `path: name`, in order."""
    called: list[str] = []
    lock = threading.Lock()

    def on_start(code: CodeType, _: int) -> object:
        if not code.co_filename.startswith(f"{ROOT}/apps/"):
            return sys.monitoring.DISABLE
        with lock:
            called.append(f"{Path(code.co_filename).relative_to(ROOT)}: {code.co_qualname}")
        return None

    tool = sys.monitoring.PROFILER_ID
    sys.monitoring.use_tool_id(tool, "follow a message")
    sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, on_start)
    sys.monitoring.set_events(tool, sys.monitoring.events.PY_START)
    try:
        yield called
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, None)
        sys.monitoring.free_tool_id(tool)
        sys.monitoring.restart_events()


def test_a_message_passes_the_functions_that_the_document_names_in_that_order(
    application: Application,
    add_endpoint: Callable[..., Endpoint],
    api_key: str,
    receiver: Receiver,
    tasks: DrainingBackend,
) -> None:
    add_endpoint(f"{receiver.url}/webhooks")
    with calls_of_ours() as called:
        TestApp(main.app).post_json(
            f"/api/v1/app/{application.pk}/msg",
            {"eventType": "invoice.paid", "payload": {"amount": 4200}},
            headers={"Authorization": f"Bearer {api_key}"},
            status=202,
        )
        tasks.drain()
    assert receiver.paths() == ["/webhooks"]
    rest = iter(called)
    missed = [step for step in STEPS if step not in rest]  # `in` goes on where the last step was found
    assert not missed


def test_the_document_names_few_files() -> None:
    """Six and two leaves: more, and nobody follows."""
    assert len({step.partition(":")[0] for step in STEPS}) == len(STEPS) == 8
