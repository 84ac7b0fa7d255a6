"""Query parameters. What is not understood is refused with 422, what is not implemented with 501."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from apps.api.exceptions import Invalid, NotImplementedYet
from apps.api.fields import NAME
from apps.core.cursors import Cursor
from apps.deliveries.lists import Filters, Window
from apps.deliveries.models import facet

LIMIT, MAX_LIMIT = 50, 250
MAX_EVENT_TYPES = 20  # each is a query of its own
FLAGS = {"true": True, "false": False}


def flag(request: Request, name: str, *, default: bool) -> bool:
    """`true` or `false`. Raises Invalid."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if text not in FLAGS:
        raise Invalid(["query", name], "Must be true or false.")
    return FLAGS[text]


def cursor(request: Request) -> Cursor:
    """`limit` and `iterator`. Raises Invalid."""
    text = request.query_params.get("limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise Invalid(["query", "limit"], f"Must be a number from 1 to {MAX_LIMIT}.")
    iterator = request.query_params.get("iterator")
    if iterator and not NAME.fullmatch(iterator.removeprefix("-")):
        raise Invalid(["query", "iterator"], "Is no iterator of this list.")
    return Cursor.parse(iterator, int(text))


def window(request: Request) -> Window:
    """`after` and `before`. Raises Invalid."""
    return Window(after=_time(request, "after"), before=_time(request, "before"))


STATUSES = {"0": "success", "1": "pending", "2": "fail", "3": "sending"}
CLASSES = {"0", "100", "200", "300", "400", "500"}


def filters(request: Request, *more: str) -> Filters:
    """`channel`, `tag` and `event_types` (`a,b`), and `more` facets. Raises Invalid."""
    named = [facet(name, value) for name in ("channel", "tag") if (value := _name(request, name))]
    return Filters([*more, *named], _event_types(request))


def status(request: Request) -> list[str]:
    """`status`, as facets: of deliveries and of attempts. Raises Invalid."""
    number = request.query_params.get("status")
    if number and number not in STATUSES:
        raise Invalid(["query", "status"], f"Must be one of {', '.join(STATUSES)}.")
    return [facet("status", STATUSES[number])] if number else []


def status_code_class(request: Request) -> list[str]:
    """`status_code_class`, as facets: of attempts only. Raises Invalid."""
    code = request.query_params.get("status_code_class")
    if code and code not in CLASSES:
        raise Invalid(["query", "status_code_class"], f"Must be one of {', '.join(sorted(CLASSES))}.")
    return [facet("class", code)] if code else []


def _event_types(request: Request) -> list[str]:
    names = [name for text in request.query_params.getlist("event_types") for name in text.split(",") if name]
    if len(names) > MAX_EVENT_TYPES or not all(map(NAME.fullmatch, names)):
        raise Invalid(["query", "event_types"], f"Must be up to {MAX_EVENT_TYPES} event types, by commas.")
    return names


def _name(request: Request, parameter: str) -> str:
    value = request.query_params.get(parameter, "")
    if value and not NAME.fullmatch(value):
        raise Invalid(["query", parameter], "Only letters, digits, '.', '-' and '_' are allowed.")
    return value


def descending(request: Request, *, default: bool) -> bool:
    """`order`: ascending or descending. Raises Invalid."""
    order = request.query_params.get("order", "descending" if default else "ascending")
    if order not in {"ascending", "descending"}:
        raise Invalid(["query", "order"], "Must be ascending or descending.")
    return order == "descending"


def choice(request: Request, name: str, choices: Sequence[str]) -> str:
    """One of `choices`, or nothing. Raises Invalid."""
    value = request.query_params.get(name, "")
    if value and value not in choices:
        raise Invalid(["query", name], f"Must be one of {', '.join(choices)}.")
    return value


def refuse(request: Request, names: Iterable[str]) -> None:
    """Raise NotImplementedYet where one of `names` is sent: a filter must never be ignored in silence."""
    for name in names:
        if request.query_params.get(name, "false") != "false":
            raise NotImplementedYet(f"The parameter {name!r} is not implemented yet.")


def _time(request: Request, name: str) -> datetime | None:
    """RFC 3339; without a zone it is UTC, as the Python SDK means it."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise Invalid(["query", name], "Must be a time by RFC 3339, such as 2030-01-31T12:00:00Z.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)
