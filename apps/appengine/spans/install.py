"""Makes OpenTelemetry's API real in this process, by the settings TRACE_EXPORT and TRACE_SAMPLE_RATE."""

import atexit
import os

from django.core.exceptions import ImproperlyConfigured
from opentelemetry import trace

from apps.appengine import logs
from apps.appengine.spans.tracer import Tracer, TracerProvider


def install(export_to: str, sample_rate: float, project: str) -> None:
    """Set the tracer. `export_to` is the URL of a trace receiver of OTLP over HTTP; empty: nothing is sent.

    A provider that is set already stays: who starts the process under OpenTelemetry's own SDK has chosen.
    Raises ImproperlyConfigured.
    """
    if export_to and not export_to.startswith(("https://", "http://")):
        raise ImproperlyConfigured(f"TRACE_EXPORT is {export_to!r}, not a URL.")
    if not 0 <= sample_rate <= 1:
        raise ImproperlyConfigured(f"TRACE_SAMPLE_RATE is {sample_rate:g}, not between 0 and 1.")
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    on_end = None
    if export_to:
        # Late: a process that sends nothing imports nothing for it.
        from apps.appengine.spans.sender import Sender  # noqa: PLC0415

        sender = Sender(export_to, resource(project))
        os.register_at_fork(after_in_child=sender.reset)
        atexit.register(sender.close)
        on_end = sender.add
    trace.set_tracer_provider(TracerProvider(Tracer(on_end, sample_rate)))


def resource(project: str) -> dict[str, str]:
    """Which process makes the spans. Google asks for the project by this name."""
    service = logs.service()
    return {
        "gcp.project_id": project,
        "service.name": service["service"],
        "service.version": service["version"],
        "service.instance.id": os.environ.get("GAE_INSTANCE", ""),
    }
