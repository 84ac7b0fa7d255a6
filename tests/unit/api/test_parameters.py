"""Query parameters: read, refused with 422, or answered with 501; never ignored in silence."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from apps.api import parameters
from apps.api.exceptions import Invalid, NotImplementedYet
from apps.core.cursors import Cursor
from tests.unit.api.conftest import Api


def request(**query: str) -> Request:
    return Request(RequestFactory().get("/", query))


def test_without_parameters_a_list_begins_at_its_start_with_50() -> None:
    assert parameters.cursor(request()) == Cursor(50, None, backwards=False)


def test_a_leading_hyphen_goes_backwards() -> None:
    assert parameters.cursor(request(limit="7", iterator="-ep_1")) == Cursor(7, "ep_1", backwards=True)


@pytest.mark.parametrize("limit", ["0", "251", "-1", "ten", "", "1.5", "²", "9" * 5000])
def test_a_limit_outside_1_to_250_is_422(api: Api, limit: str) -> None:
    (item,) = api.get(f"/api/v1/app?limit={limit}", status=422).json["detail"]
    assert item["loc"] == ["query", "limit"]


@pytest.mark.parametrize("iterator", ["a b", "a\0b", "é", "x" * 257])
def test_what_can_be_no_iterator_is_422(iterator: str) -> None:
    with pytest.raises(Invalid):
        parameters.cursor(request(iterator=iterator))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00.5", datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2030-01-31T12:00:00+02:00", datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, time: datetime) -> None:
    assert parameters.window(request(before=text)).before == time
    assert parameters.window(request(after=text)).after == time


@pytest.mark.parametrize(
    "text", ["yesterday", "2030-02-31T12:00:00Z", "12:00", "1700000000", "2030-01-31T25:00"]
)
def test_what_is_no_time_is_422(text: str) -> None:
    with pytest.raises(Invalid):
        parameters.window(request(after=text))


def test_a_flag_is_true_or_false_and_nothing_else() -> None:
    assert parameters.flag(request(x="true"), "x", default=False)
    assert not parameters.flag(request(x="false"), "x", default=True)
    assert parameters.flag(request(), "x", default=True)
    with pytest.raises(Invalid):
        parameters.flag(request(x="maybe"), "x", default=True)


def test_an_order_that_is_none_is_422() -> None:
    with pytest.raises(Invalid):
        parameters.descending(request(order="sideways"), default=True)


def test_a_filter_that_is_not_implemented_is_refused_by_name_unless_it_says_false() -> None:
    parameters.refuse(request(with_msg="false", other="x"), ["with_msg"])
    with pytest.raises(NotImplementedYet, match="with_msg"):
        parameters.refuse(request(with_msg="true"), ["with_msg"])
