"""How many requests this process has in flight to each endpoint: a cap, so that none takes all threads."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

_lock = threading.Lock()
_counts: Counter[str] = Counter()


def start[T](endpoint_id: str, most: int, request: Callable[[], Future[T]]) -> Future[T] | None:
    """Start `request`, unless `most` to this endpoint are in flight already: then None."""
    with _lock:
        if _counts[endpoint_id] >= most:
            return None
        _counts[endpoint_id] += 1
    try:
        future = request()
    except BaseException:
        _release(endpoint_id)
        raise
    future.add_done_callback(lambda _: _release(endpoint_id))
    return future


def _release(endpoint_id: str) -> None:
    with _lock:
        _counts[endpoint_id] -= 1
        if not _counts[endpoint_id]:
            del _counts[endpoint_id]
