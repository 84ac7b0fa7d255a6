import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.deliveries import transport
from apps.deliveries.transport import Result
from tests.conftest import Receiver

pytestmark = pytest.mark.usefixtures("private_endpoints")


def test_threads_that_come_first_at_the_same_time_share_one_client(receiver: Receiver) -> None:
    """Seen after a worker was killed: many tasks came at once, a loop each, and all requests failed."""
    for _ in range(5):
        transport.close()
        barrier = threading.Barrier(16)

        def post(_: int, barrier: threading.Barrier = barrier) -> Result:
            barrier.wait()
            return transport.post(receiver.url, {}, b"{}").result()

        with ThreadPoolExecutor(16) as pool:
            assert {result.status_code for result in pool.map(post, range(16))} == {200}
        assert [thread.name for thread in threading.enumerate()].count("transport") == 1
