# mypy: allow-subclassing-any
"""What comes of a query bit by bit: iterators, pages and cursors."""

import pytest
from google.cloud import ndb
from google.cloud.ndb import exceptions

from tests.functional.ndb.stores import counts_end

pytestmark = pytest.mark.usefixtures("context")


class Line(ndb.Model):
    number = ndb.IntegerProperty()
    even = ndb.BooleanProperty()


@pytest.fixture(autouse=True)
def _lines(context: ndb.Context) -> None:
    ndb.put_multi([Line(id=number + 1, number=number, even=number % 2 == 0) for number in range(10)])


def numbers(lines: list[Line]) -> list[int]:
    return [line.number for line in lines]


@pytest.fixture
def by_number(context: ndb.Context) -> ndb.Query:
    return Line.query().order(Line.number)


def test_an_iterator_gives_one_result_after_the_other(by_number: ndb.Query) -> None:
    results = iter(by_number)
    assert isinstance(results, ndb.QueryIterator)
    assert results.has_next()
    assert results.has_next_async().result()
    assert results.probably_has_next()
    assert results.next().number == 0
    assert numbers(list(results)) == list(range(1, 10))
    assert not results.has_next()
    with pytest.raises(StopIteration):
        results.next()


def test_an_iterator_takes_the_options_of_fetch(by_number: ndb.Query) -> None:
    assert [key.id() for key in by_number.iter(keys_only=True, limit=3, offset=2)] == [3, 4, 5]
    assert [line.number for line in by_number.iter(projection=[Line.number], limit=2)] == [0, 1]


def test_pages_follow_one_another_until_there_is_no_more(by_number: ndb.Query) -> None:
    pages, cursor, more = [], None, True
    while more:
        page, cursor, more = by_number.fetch_page(4, start_cursor=cursor)
        pages.append(numbers(page))
    assert [number for page in pages for number in page] == list(range(10))
    assert pages[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_fetch_page_async_answers_with_page_cursor_and_more(by_number: ndb.Query) -> None:
    page, cursor, more = by_number.fetch_page_async(4).result()
    assert (numbers(page), more) == ([0, 1, 2, 3], True)
    assert isinstance(cursor, ndb.Cursor)


def test_pages_of_keys_and_of_projections(by_number: ndb.Query) -> None:
    keys, cursor, _ = by_number.fetch_page(4, keys_only=True)
    assert [key.id() for key in keys] == [1, 2, 3, 4]
    lines, _, _ = by_number.fetch_page(2, start_cursor=cursor, projection=[Line.number])
    assert numbers(lines) == [4, 5]


def test_there_is_no_page_of_nothing() -> None:
    page, cursor, more = Line.query(Line.number > 100).fetch_page(4)
    assert (page, cursor, more) == ([], None, False)


def test_pages_of_a_filtered_query_and_of_one_by_key() -> None:
    first, cursor, more = Line.query(Line.even == True).fetch_page(3)  # noqa: E712  NDB overloads ==
    second, _, _ = Line.query(Line.even == True).fetch_page(3, start_cursor=cursor)  # noqa: E712
    assert (numbers(first), numbers(second), more) == ([0, 2, 4], [6, 8], True)
    first, cursor, _ = Line.query().order(-Line.key).fetch_page(3)
    second, _, _ = Line.query().order(-Line.key).fetch_page(3, start_cursor=cursor)
    assert numbers(first + second) == [9, 8, 7, 6, 5, 4]


def test_a_cursor_survives_as_text_in_a_url(by_number: ndb.Query) -> None:
    _, cursor, _ = by_number.fetch_page(4)
    again = ndb.Cursor(urlsafe=cursor.urlsafe())
    assert again == cursor == ndb.Cursor.from_websafe_string(cursor.to_websafe_string())
    assert numbers(by_number.fetch(2, start_cursor=again)) == [4, 5]


def test_an_end_cursor_stops_a_query(by_number: ndb.Query) -> None:
    _, four, _ = by_number.fetch_page(4)
    _, seven, _ = by_number.fetch_page(7)
    assert numbers(by_number.fetch(start_cursor=four, end_cursor=seven)) == [4, 5, 6]
    assert numbers(by_number.fetch(end_cursor=four)) == [0, 1, 2, 3]


@pytest.mark.parametrize("prop", ["key", "number"])
def test_a_cursor_turns_round_with_the_order(prop: str) -> None:
    """Going back: the same cursor, the reverse order."""
    order = getattr(Line, prop)
    _, cursor, _ = Line.query().order(order).fetch_page(4)
    back = Line.query().order(-order)
    assert numbers(back.fetch(start_cursor=cursor)) == [3, 2, 1, 0]
    page, cursor, more = back.fetch_page(2, start_cursor=cursor)
    assert (numbers(page), more) == ([3, 2], True)
    assert numbers(back.fetch(start_cursor=cursor)) == [1, 0]


def test_a_cursor_stays_in_place_when_entities_come_and_go_before_it(by_number: ndb.Query) -> None:
    _, cursor, _ = by_number.fetch_page(4)
    Line(number=-1).put()
    ndb.Key(Line, 2).delete()
    assert numbers(by_number.fetch(start_cursor=cursor)) == [4, 5, 6, 7, 8, 9]


def test_a_cursor_after_a_deleted_entity_still_leads_on(by_number: ndb.Query) -> None:
    page, cursor, _ = by_number.fetch_page(4)
    page[-1].key.delete()
    assert numbers(by_number.fetch(start_cursor=cursor)) == [4, 5, 6, 7, 8, 9]


def test_a_cursor_among_equal_values_goes_on_by_key() -> None:
    ndb.put_multi([Line(id=id_, number=4) for id_ in range(100, 105)])
    by_number = Line.query().order(Line.number)
    _, cursor, _ = by_number.fetch_page(6)
    assert [line.key.id() for line in by_number.fetch(4, start_cursor=cursor)] == [101, 102, 103, 104]


def test_an_iterator_has_a_cursor_before_and_after_each_result(by_number: ndb.Query) -> None:
    results = by_number.iter()
    with pytest.raises(exceptions.BadArgumentError):
        results.cursor_after()
    results.next()
    results.next()
    assert numbers(by_number.fetch(1, start_cursor=results.cursor_before())) == [1]
    assert numbers(by_number.fetch(1, start_cursor=results.cursor_after())) == [2]


def test_an_offset_counts_from_the_cursor(by_number: ndb.Query) -> None:
    _, cursor, _ = by_number.fetch_page(4)
    assert numbers(by_number.fetch(2, offset=2, start_cursor=cursor)) == [6, 7]


def test_what_fits_in_no_single_answer_is_fetched_batch_by_batch() -> None:
    class Row(ndb.Model):
        number = ndb.IntegerProperty()
        content = ndb.BlobProperty(default=b"x" * 900_000)

    for number in range(8):
        Row(number=number).put()
    by_number = Row.query().order(Row.number)
    assert [row.number for row in by_number.fetch()] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [row.number for row in by_number.fetch(6, offset=1)] == [1, 2, 3, 4, 5, 6]
    assert by_number.count() == 8


@counts_end
def test_count_as_in_production_skips_and_comes_to_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the environment names no emulator NDB counts with offsets, until there are no more results."""
    with monkeypatch.context() as patch:
        patch.delenv("DATASTORE_EMULATOR_HOST")
        assert Line.query().count() == 10
        assert Line.query(Line.number > 5).count() == 4
        assert Line.query().count(limit=3) == 3
        assert Line.query(Line.number > 100).count() == 0
