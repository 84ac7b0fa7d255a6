from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import ndb

from apps.appengine import ndb_context
from apps.core import ids
from apps.core.cursors import Cursor, Page
from apps.deliveries import lists
from apps.deliveries.lists import Filters, Window
from apps.deliveries.models import Attempt, Delivery, Message

pytestmark = pytest.mark.usefixtures("datastore")

NOW = datetime.now(UTC)
APPLICATION, NEIGHBOURS = ids.new("app"), [ids.new("app"), ids.new("app")]
MESSAGE, ENDPOINT = ids.new("msg"), ids.new("ep")
FACETS = ["type:a", "channel:red", "tag:vip", "status:fail"]
FILTERS = Filters(["channel:red", "tag:vip"], ["a"])

type List = Callable[[Cursor, Window], Page[Any]]


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def message(at: datetime, application_id: str = APPLICATION) -> Message:
    message_id = ids.new("msg", at)
    return Message(
        key=Message.key_of(application_id, message_id),
        application_id=application_id,
        message_id=message_id,
        event_type="a",
        facets=FACETS,
        created_at=at,
        expires_at=at,
    )


def delivery(at: datetime, application_id: str = APPLICATION) -> Delivery:
    message_id = ids.new("msg", at)
    return Delivery(
        key=Delivery.key_of(application_id, message_id, ENDPOINT),
        application_id=application_id,
        message_id=message_id,
        endpoint_id=ENDPOINT,
        status=Delivery.FAILED,
        facets=FACETS,
        expires_at=at,
    )


def attempt(at: datetime, application_id: str = APPLICATION, **fields: Any) -> Attempt:
    attempt_id = ids.new("atmpt", at)
    return Attempt(
        key=Attempt.key_of(application_id, attempt_id),
        application_id=application_id,
        attempt_id=attempt_id,
        number=1,
        trigger=Attempt.SCHEDULED,
        url="https://example.com/",
        succeeded=True,
        status_code=200,
        duration_ms=1,
        started_at=at,
        expires_at=at,
        facets=FACETS,
        **{"message_id": MESSAGE, "endpoint_id": ENDPOINT, **fields},
    )


def messages(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.messages(APPLICATION, cursor, window)


def of_message(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.attempts_of_message(APPLICATION, MESSAGE, cursor, window)


def of_endpoint(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.attempts_of_endpoint(APPLICATION, ENDPOINT, cursor, window)


def to_endpoint(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.deliveries_to_endpoint(APPLICATION, ENDPOINT, cursor, window)


def filtered_messages(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.messages(APPLICATION, cursor, window, FILTERS)


def filtered_of_message(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.attempts_of_message(APPLICATION, MESSAGE, cursor, window, FILTERS)


def filtered_of_endpoint(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.attempts_of_endpoint(APPLICATION, ENDPOINT, cursor, window, FILTERS)


def filtered_to_endpoint(cursor: Cursor, window: Window) -> Page[Any]:
    return lists.deliveries_to_endpoint(APPLICATION, ENDPOINT, cursor, window, FILTERS)


LISTS = pytest.mark.parametrize(
    ("listed", "make"),
    [
        (messages, message),
        (of_message, attempt),
        (of_endpoint, attempt),
        (to_endpoint, delivery),
        (filtered_messages, message),
        (filtered_of_message, attempt),
        (filtered_of_endpoint, attempt),
        (filtered_to_endpoint, delivery),
    ],
)


def id_of(item: Message | Attempt | Delivery) -> str:
    """What an iterator names: a delivery is listed by its message."""
    return str(item.key.id().split("~")[1])


def ids_of(page: Page[Any]) -> list[str]:
    return [id_of(item) for item in page.items]


def put_newest_first(make: Callable[[datetime], ndb.Model], ages: Sequence[float]) -> list[str]:
    """Store items of these ages in minutes, and neighbours before, between and behind; ids, newest first."""
    items = [make(minutes_ago(age)) for age in sorted(ages)]
    strangers = [make(minutes_ago(age), one) for one in NEIGHBOURS for age in (*ages, 0, 1_000_000)]
    ndb.put_multi([*items, *strangers])
    return [id_of(item) for item in items]


@LISTS
def test_a_list_is_newest_first_and_of_one_application(listed: List, make: Callable[..., ndb.Model]) -> None:
    made = put_newest_first(make, range(1, 8))
    page = listed(Cursor(50), Window())
    assert (ids_of(page), page.done) == (made, True)


@LISTS
def test_an_empty_list_is_one_page(listed: List, make: Callable[..., ndb.Model]) -> None:
    put_newest_first(make, [])
    for cursor in (Cursor(50), Cursor(50, "msg_1"), Cursor(50, "zzz", backwards=True)):
        page = listed(cursor, Window())
        assert (ids_of(page), page.done) == ([], True)


@LISTS
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_cover_everything_exactly_once_in_both_directions(
    listed: List, make: Callable[..., ndb.Model], limit: int
) -> None:
    made = put_newest_first(make, range(1, 8))
    seen, done = list[str](), False
    while not done and len(seen) <= len(made):
        page = listed(Cursor(limit, seen[-1] if seen else None), Window())
        seen, done = seen + ids_of(page), page.done
    assert seen == made

    seen, done = made[-1:], False
    while not done and len(seen) <= len(made):
        page = listed(Cursor(limit, seen[0], backwards=True), Window())
        seen, done = ids_of(page) + seen, page.done
    assert seen == made


@LISTS
def test_going_back_gives_the_page_one_came_from(listed: List, make: Callable[..., ndb.Model]) -> None:
    put_newest_first(make, range(1, 8))
    first = ids_of(listed(Cursor(3), Window()))
    second = ids_of(listed(Cursor(3, first[-1]), Window()))
    back = listed(Cursor(3, second[0], backwards=True), Window())
    assert (ids_of(back), back.done) == (first, True)


@LISTS
def test_an_iterator_whose_item_is_gone_goes_on_from_where_it_was(
    listed: List, make: Callable[..., ndb.Model]
) -> None:
    made = put_newest_first(make, range(1, 8))
    kind = Message if make is message else Attempt
    ndb.Key(kind, f"{APPLICATION}~{made[3]}").delete()
    assert ids_of(listed(Cursor(50, made[3]), Window())) == made[4:]
    assert ids_of(listed(Cursor(50, made[3], backwards=True), Window())) == made[:3]


@LISTS
def test_new_items_do_not_shift_the_pages(listed: List, make: Callable[..., ndb.Model]) -> None:
    made = put_newest_first(make, range(1, 8))
    first = ids_of(listed(Cursor(3), Window()))
    make(NOW).put()
    assert ids_of(listed(Cursor(50, first[-1]), Window())) == made[3:]


@LISTS
@pytest.mark.parametrize("backwards", [False, True])
def test_a_window_holds_what_is_made_in_it(
    listed: List, make: Callable[..., ndb.Model], backwards: bool
) -> None:
    made = put_newest_first(make, range(1, 8))
    cursor = Cursor(50, made[-1], backwards=True) if backwards else Cursor(50)
    oldest = 6 if backwards else 7  # the item of the cursor itself is not listed again

    def listed_in(**window: datetime) -> list[str]:
        return ids_of(listed(cursor, Window(**window)))

    assert listed_in(after=minutes_ago(4.5)) == made[:4]
    assert listed_in(before=minutes_ago(4.5)) == made[4:oldest]
    assert listed_in(after=minutes_ago(5.5), before=minutes_ago(2.5)) == made[2:5]
    assert listed_in(after=minutes_ago(2.5), before=minutes_ago(5.5)) == []
    assert listed_in(after=minutes_ago(-10)) == []


@LISTS
def test_pages_stay_in_their_window(listed: List, make: Callable[..., ndb.Model]) -> None:
    made = put_newest_first(make, range(1, 8))
    window = Window(after=minutes_ago(5.5), before=minutes_ago(2.5))
    first = listed(Cursor(2), window)
    second = listed(Cursor(2, made[3]), window)
    assert [(ids_of(page), page.done) for page in (first, second)] == [(made[2:4], False), (made[4:5], True)]
    assert ids_of(listed(Cursor(50, made[0]), window)) == made[2:5]
    back = listed(Cursor(1, made[4], backwards=True), window)
    assert (ids_of(back), back.done) == (made[3:4], False)


@LISTS
def test_without_after_a_list_looks_back_90_days(listed: List, make: Callable[..., ndb.Model]) -> None:
    day = 24 * 60
    made = put_newest_first(make, [89 * day, 91 * day, 4000 * day])
    assert ids_of(listed(Cursor(50), Window())) == made[:1]
    assert ids_of(listed(Cursor(50), Window(after=minutes_ago(100 * day)))) == made[:2]
    assert ids_of(listed(Cursor(50), Window(after=datetime(1, 1, 1, tzinfo=UTC)))) == made


def test_attempts_of_other_messages_and_endpoints_are_left_out() -> None:
    other_message, other_endpoint = attempt(NOW, message_id="msg_2"), attempt(NOW, endpoint_id="ep_2")
    ndb.put_multi([other_message, other_endpoint])
    assert ids_of(of_message(Cursor(50), Window())) == [id_of(other_endpoint)]
    assert ids_of(of_endpoint(Cursor(50), Window())) == [id_of(other_message)]


def test_a_filter_leaves_out_what_lacks_one_facet_of_it() -> None:
    red = message(minutes_ago(1))
    vip = message(minutes_ago(2))
    red.facets, vip.facets = ["type:a", "channel:red"], ["type:a", "channel:red", "tag:vip"]
    plain = message(minutes_ago(3))
    plain.facets = ["type:b"]
    ndb.put_multi([red, vip, plain])

    def found(facets: Sequence[str], event_types: Sequence[str] = ()) -> list[str]:
        return ids_of(lists.messages(APPLICATION, Cursor(50), Window(), Filters(facets, event_types)))

    assert found([]) == ids_of_all(red, vip, plain)
    assert found(["channel:red"]) == ids_of_all(red, vip)
    assert found(["channel:red", "tag:vip"]) == ids_of_all(vip)
    assert found([], ["b"]) == ids_of_all(plain)
    assert found([], ["a", "b", "a"]) == ids_of_all(red, vip, plain)
    assert found(["tag:vip"], ["b"]) == []


def ids_of_all(*items: Message) -> list[str]:
    return [id_of(item) for item in items]


@pytest.mark.parametrize("backwards", [False, True])
def test_several_event_types_are_pages_of_one_list(backwards: bool) -> None:
    made = [message(minutes_ago(age)) for age in range(7)]
    for number, one in enumerate(made):
        one.facets = [f"type:{'abc'[number % 3]}"]
    ndb.put_multi(made)
    wanted = [id_of(one) for number, one in enumerate(made) if number % 3 != 2]
    filters = Filters([], ["b", "a"])
    page = lists.messages(APPLICATION, Cursor(2, wanted[2], backwards), Window(), filters)
    assert (ids_of(page), page.done) == ((wanted[:2], True) if backwards else (wanted[3:5], True))


def test_the_deliveries_of_a_message_are_listed_by_endpoint() -> None:
    endpoints = sorted((ids.new("ep") for _ in range(5)), reverse=True)
    for message_id in (MESSAGE, ids.new("msg")):
        for endpoint_id in endpoints:
            one = delivery(NOW)
            one.key = Delivery.key_of(APPLICATION, message_id, endpoint_id)
            one.endpoint_id = endpoint_id
            one.put()

    def page(cursor: Cursor) -> list[str]:
        return [one.endpoint_id for one in lists.deliveries_of_message(APPLICATION, MESSAGE, cursor).items]

    assert page(Cursor(50)) == endpoints
    assert page(Cursor(2, endpoints[1])) == endpoints[2:4]
    assert page(Cursor(2, endpoints[3], backwards=True)) == endpoints[1:3]


@LISTS
@pytest.mark.parametrize("backwards", [False, True])
def test_a_page_is_one_query_that_reads_its_limit_and_one_more(
    listed: List, make: Callable[..., ndb.Model], backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put_newest_first(make, range(1, 8))
    transport = type(ndb_context.client().stub)
    real, limits = transport.run_query, []

    class Watched:
        """The call that NDB makes, which notes how many entities it asks for."""

        def __init__(self, transport: Any) -> None:
            self.call = real.fget(transport)

        def future(self, request: Any, **options: Any) -> Any:
            limits.append(request.query.limit)
            return self.call.future(request, **options)

    monkeypatch.setattr(transport, "run_query", property(Watched))
    page = listed(Cursor(2, made[3], backwards), Window())
    assert len(page.items) == 2
    assert [getattr(limit, "value", limit) for limit in limits] == [3]
