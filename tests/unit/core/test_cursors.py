import pytest

from apps.core.cursors import Cursor, Page


@pytest.mark.parametrize("iterator", [None, ""])
def test_without_an_iterator_it_is_the_first_page(iterator: str | None) -> None:
    assert Cursor.parse(iterator, 10) == Cursor(10, None, backwards=False)


def test_an_iterator_is_the_last_id_seen() -> None:
    assert Cursor.parse("msg_1", 10) == Cursor(10, "msg_1", backwards=False)


def test_a_leading_minus_goes_backwards() -> None:
    assert Cursor.parse("-msg_1", 10) == Cursor(10, "msg_1", backwards=True)


def test_only_the_first_minus_is_a_direction() -> None:
    assert Cursor.parse("--a-b-", 10) == Cursor(10, "-a-b-", backwards=True)


@pytest.mark.parametrize(
    ("fetched", "items", "done"),
    [([], [], True), ([1], [1], True), ([1, 2], [1, 2], True), ([1, 2, 3], [1, 2], False)],
)
def test_a_page_holds_up_to_its_limit_and_says_whether_there_is_more(
    fetched: list[int], items: list[int], done: bool
) -> None:
    forwards = Page.of(fetched, Cursor(2))
    assert (list(forwards.items), forwards.done) == (items, done)
    backwards = Page.of(fetched, Cursor(2, "x", backwards=True))
    assert (list(backwards.items), backwards.done) == (items[::-1], done), "in list order, not in order read"
