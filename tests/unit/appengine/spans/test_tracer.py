import asyncio
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import ResolverMatch
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from apps.appengine import trace
from apps.appengine.spans.tracer import Span, Tracer
from apps.appengine.trace import Trace, TraceMiddleware

CALLER = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
NOT_SAMPLED = Trace(CALLER.trace_id, CALLER.span_id, sampled=False)


@pytest.fixture
def ended() -> list[Span]:
    return []


@pytest.fixture
def tracer(ended: list[Span]) -> Tracer:
    """Keeps what ends; samples every new trace."""
    return Tracer(ended.append, rate=1.0)


def test_a_span_is_a_child_of_the_current_one_and_of_its_trace(tracer: Tracer, ended: list[Span]) -> None:
    with trace.activate(CALLER), tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        pass

    inner, outer = ended
    assert (outer.name, inner.name) == ("outer", "inner")
    assert {f"{one.context.trace_id:032x}" for one in ended} == {CALLER.trace_id}
    assert outer.parent
    assert f"{outer.parent.span_id:016x}" == CALLER.span_id
    assert inner.parent == outer.context
    assert outer.started_at <= inner.started_at <= inner.ended_at <= outer.ended_at


def test_what_is_logged_and_called_in_a_span_bears_its_id(tracer: Tracer, ended: list[Span]) -> None:
    with trace.activate(CALLER), tracer.start_as_current_span("one"):
        current = trace.current()
        assert current
        assert current.traceparent == f"00-{CALLER.trace_id}-{current.span_id}-01"
    assert f"{ended[0].context.span_id:016x}" == current.span_id != CALLER.span_id


def test_a_caller_that_does_not_sample_is_followed_whatever_the_rate(
    tracer: Tracer, ended: list[Span]
) -> None:
    with trace.activate(NOT_SAMPLED), tracer.start_as_current_span("one") as span:
        assert trace.current() == NOT_SAMPLED
        span.set_attribute("any", 1)
    assert ended == []


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1000, 1000)])
def test_of_new_traces_a_part_is_sampled(ended: list[Span], rate: float, least: int, most: int) -> None:
    tracer = Tracer(ended.append, rate)
    for _ in range(1000):
        with tracer.start_as_current_span("one"):
            current = trace.current()
            assert current
            assert current.sampled == get_current_span().is_recording()
    assert least <= len(ended) <= most
    assert len({one.context.trace_id for one in ended}) == len(ended)


def test_without_an_export_a_span_is_its_callers_place_and_a_new_trace_has_ids_all_the_same() -> None:
    tracer = Tracer(None, rate=1.0)
    with trace.activate(CALLER), tracer.start_as_current_span("one") as span:
        assert trace.current() == CALLER
        assert not span.is_recording()
    with tracer.start_as_current_span("one"):
        first = trace.current()
    with tracer.start_as_current_span("one"):
        second = trace.current()
    assert first
    assert second
    assert first.trace_id != second.trace_id
    assert not first.sampled


def test_of_an_exception_a_span_keeps_the_class_and_no_word(tracer: Tracer, ended: list[Span]) -> None:
    with pytest.raises(ValueError, match="4711"), tracer.start_as_current_span("one"):
        raise ValueError("the card 4711 of a customer")
    (span,) = ended
    assert span.status is StatusCode.ERROR
    assert span.attributes == {"error.type": "builtins.ValueError"}
    assert "4711" not in repr(span)


def test_nothing_changes_a_span_that_ended(tracer: Tracer, ended: list[Span]) -> None:
    span = tracer.start_span("one", attributes={"a": 1})
    span.end()
    assert isinstance(span, Span)
    before = span.ended_at
    span.end()
    span.set_attribute("b", 2)
    span.update_name("two")
    span.set_status(StatusCode.ERROR)
    span.add_event("late")
    assert len(ended) == 1
    assert (span.name, span.attributes, span.status, span.events) == ("one", {"a": 1}, StatusCode.UNSET, [])
    assert span.ended_at == before


@pytest.fixture
def _requests(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "tracer", tracer)


def answer(request: HttpRequest, status: int = 200, route: str = "app/<str:app>/msg") -> HttpResponse:
    if route:
        request.resolver_match = ResolverMatch(answer, (), {}, route=route)
    return HttpResponse(status=status)


@pytest.mark.usefixtures("_requests")
@pytest.mark.parametrize(
    ("status", "code"), [(202, StatusCode.UNSET), (404, StatusCode.UNSET), (503, StatusCode.ERROR)]
)
def test_a_requests_span_has_its_route_and_status_and_never_its_path(
    rf: RequestFactory, ended: list[Span], status: int, code: StatusCode
) -> None:
    request = rf.post("/app/a-customers-own-id/msg?key=secret", headers={"traceparent": CALLER.traceparent})
    TraceMiddleware(lambda one: answer(one, status))(request)

    (span,) = ended
    assert (span.name, span.kind, span.status) == ("POST /app/<str:app>/msg", SpanKind.SERVER, code)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/app/<str:app>/msg",
        "http.response.status_code": status,
    }
    assert "a-customers-own-id" not in repr(span)
    assert request.trace == Trace.of_span(span.context)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_requests")
def test_a_request_without_a_route_or_a_caller_has_a_span_too(rf: RequestFactory, ended: list[Span]) -> None:
    TraceMiddleware(lambda one: answer(one, 404, route=""))(rf.get("/x/y"))
    (span,) = ended
    assert (span.name, span.parent) == ("GET no route", None)


@pytest.mark.usefixtures("_requests")
def test_an_async_request_has_a_span(rf: RequestFactory, ended: list[Span]) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        return answer(request)

    async def serve(middleware: Any) -> None:
        await middleware(rf.get("/", headers={"traceparent": CALLER.traceparent}))

    asyncio.run(serve(TraceMiddleware(view)))
    assert [one.name for one in ended] == ["GET /app/<str:app>/msg"]
