"""An HTTP server that takes spans as Cloud Trace's Telemetry API does: OTLP, protobuf, POST /v1/traces."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class OtlpReceiver:
    """Keeps every call; answers 200, or `statuses` in turn."""

    url: str = ""
    calls: list[tuple[float, dict[str, str], ExportTraceServiceRequest]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)  # cleared: answers wait
    rejects: int = 0  # spans of each call, as a partial success says

    @property
    def spans(self) -> list[Span]:
        """All that were received, in the order of their starts."""
        found = [
            span
            for _, _, message in self.calls
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def named(self, name: str) -> Span:
        """The one span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def wait_for(self, holds: Callable[[], Any], seconds: float = 60) -> None:
        """Until it holds. Raises AssertionError with the names of what came."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.05)


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span, or of a resource."""
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value")) if one.value.WhichOneof("value") else None
        for one in span.attributes
    }


@contextmanager
def receiving() -> Iterator[OtlpReceiver]:
    """A running server on a free port of this machine."""
    kept = OtlpReceiver()
    kept.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.calls.append((time.monotonic(), headers, ExportTraceServiceRequest.FromString(body)))
            kept.go.wait(60)
            answer = ExportTraceServiceResponse()
            answer.partial_success.rejected_spans = kept.rejects
            sent = answer.SerializeToString()
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Who hung up is no concern of the receiver."""

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
