"""Sends spans, from a thread of its own: whoever ends a span never waits and sees no fault.

What is waiting is bounded, a call is made each few seconds at most and never repeated. A span that is
lost costs a picture, not a message: it is counted and the count is logged.
"""

import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from apps.appengine.spans.tracer import Span

logger = logging.getLogger(__name__)

MOST_WAITING = 2_000  # spans, about 1 MB in all
EVERY_S = 5.0
CALL_S = 5.0
# At the end of the process: App Engine and Cloud Run leave some seconds between SIGTERM and SIGKILL.
LAST_CALL_S = 2.0
TELL_EVERY_S = 60.0
SCOPE = "https://www.googleapis.com/auth/trace.append"


class Sender:
    """One for the process. The thread starts with the first span, so after gunicorn's fork."""

    def __init__(self, url: str, resource: Mapping[str, str]) -> None:
        self.url = url
        self.resource = resource
        self.credentials: Any = None
        self.reset()

    def reset(self) -> None:
        """Nothing waits and no thread runs: as a process begins, and a forked one."""
        self.waiting: list[Span] = []
        self.lost = 0
        self.why = ""
        self.told_at = float("-inf")
        self.lock = threading.Lock()
        self.some, self.ending = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def add(self, span: Span) -> None:
        """Take a span that ended. Lost when too many wait."""
        with self.lock:
            if len(self.waiting) >= MOST_WAITING:
                self._lose(1, "too many wait")
                return
            self.waiting.append(span)
            self._start()
        self.some.set()

    def close(self) -> None:
        """Send what waits, in LAST_CALL_S at most. Called when the process ends."""
        self.ending.set()
        self.some.set()
        if self.thread:
            self.thread.join(LAST_CALL_S)

    def _start(self) -> None:
        if self.thread is None:
            thread = threading.Thread(target=self._run, name="spans", daemon=True)
            with suppress(RuntimeError):  # no thread to be had: the next span tries again
                thread.start()
                self.thread = thread

    def _run(self) -> None:
        last = False
        while not last:
            self.some.wait()
            self.ending.wait(EVERY_S)
            self.some.clear()
            last = self.ending.is_set()  # looked at before the call: what ends during it is sent too
            self._send()

    def _send(self) -> None:
        with self.lock:
            spans, self.waiting = self.waiting, []
        try:
            lost, why = self._post(spans), "rejected"
        except urllib.error.HTTPError as error:
            lost, why = len(spans), f"HTTP {error.code}"
        except Exception as error:  # noqa: BLE001  whatever the network or the credentials raise ends here
            lost, why = len(spans), type(error).__name__
        with self.lock:
            self._lose(lost, why)
        self._tell()

    def _post(self, spans: list[Span]) -> int:
        """Make the call. Returns how many spans were rejected; raises what goes wrong."""
        if not spans:
            return 0
        # Late: needed once something is sent, and by nobody who waits.
        from apps.appengine.spans import otlp  # noqa: PLC0415

        request = urllib.request.Request(  # noqa: S310  install() has looked at the scheme
            self.url,
            otlp.request(spans, self.resource),
            {"Content-Type": "application/x-protobuf", **self._authorization()},
        )
        seconds = LAST_CALL_S if self.ending.is_set() else CALL_S
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return otlp.rejected(answer.read())

    def _authorization(self) -> dict[str, str]:
        """The headers that say who sends, for Google; a collector of one's own gets no token."""
        if not (urlsplit(self.url).hostname or "").endswith(".googleapis.com"):
            return {}
        import google.auth  # noqa: PLC0415  late, as above
        from google.auth.transport.requests import Request  # noqa: PLC0415

        if self.credentials is None:
            self.credentials, _ = google.auth.default(scopes=[SCOPE])
        headers: dict[str, str] = {}
        self.credentials.before_request(Request(), "POST", self.url, headers)
        return headers

    def _lose(self, count: int, why: str) -> None:
        if count:
            self.lost += count
            self.why = why

    def _tell(self) -> None:
        """Log how many were lost since it was said last; once a minute, and at the end."""
        with self.lock:
            due = self.ending.is_set() or time.monotonic() - self.told_at >= TELL_EVERY_S
            if not (self.lost and due):
                return
            lost, why, self.lost, self.told_at = self.lost, self.why, 0, time.monotonic()
        fields = {"event": "spans", "lost": lost, "why": why}
        logger.warning("%d spans were not exported: %s", lost, why, extra=fields)
