"""One trace id leads from the request that posts a message to the line its attempt logs."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from webtest import TestApp

import main
from apps.appengine.logs import CloudLoggingFormatter
from apps.applications.models import Application, Endpoint
from tests.conftest import Receiver
from tests.fake_cloud_tasks import FakeCloudTasks
from tests.functional.test_costs import cloud_tasks, run_tasks  # noqa: F401  cloud_tasks is a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("private_endpoints", "datastore")]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the attempt's module logs, as Cloud Logging gets it."""
    written: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler, logger = Keep(), logging.getLogger("apps.deliveries.attempt")
    handler.setFormatter(CloudLoggingFormatter())
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_the_attempts_log_line_bears_the_trace_id_of_the_request(
    application: Application,
    add_endpoint: Callable[..., Endpoint],
    api_key: str,
    receiver: Receiver,
    cloud_tasks: FakeCloudTasks,  # noqa: F811  the fixture
    lines: list[str],
) -> None:
    add_endpoint(receiver.url)
    site = TestApp(main.app)
    headers = {"Authorization": f"Bearer {api_key}", "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
    body = {"eventType": "invoice.paid", "payload": {}}
    message = site.post_json(f"/api/v1/app/{application.pk}/msg", body, headers=headers, status=202).json
    run_tasks(site, cloud_tasks)
    (line,) = map(json.loads, lines)
    assert line["logging.googleapis.com/trace"].endswith(f"/traces/{TRACE_ID}")
    assert (line["message_id"], line["response_status"]) == (message["id"], 200)
    assert receiver.url not in lines[0]
