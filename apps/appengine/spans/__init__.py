"""Spans of requests, tasks and attempts, sent to Cloud Trace (docs/decisions/0027-spans.md).

Code opens spans through OpenTelemetry's API. What makes them real is here, and small: a tracer, the
message they are sent in, and a sender with a thread of its own.
"""
