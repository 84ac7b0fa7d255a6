"""What each operation of the API says of itself: once, above the method of the view that carries it out.

    @operation("v1.application.create", {201: ApplicationOut}, body=ApplicationIn, errors=[409])
    def post(self, request: Request) -> Response: ...

apps.api.openapi.document makes the OpenAPI document of it. What can be seen in the code is not said again:
path and method are the URL's, the description is the method's docstring, fields are those of the Input and
of the TypedDict, and the errors that follow from a path, a query, a body or a key are the same everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from rest_framework.response import Response

from apps.api.fields import Input
from apps.api.parameters import CLASSES, LIMIT, MAX_EVENT_TYPES, MAX_LIMIT, STATUSES


@dataclass(frozen=True)
class Parameter:
    """A query parameter; `schema` is JSON Schema, as OpenAPI 3.0 has it."""

    name: str
    description: str
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True)
class Operation:
    """`answers` holds the body of each good status, None where there is none."""

    id: str  # as Svix's description calls it
    answers: Mapping[int, Any]
    body: type[Input] | None
    query: Sequence[Parameter]
    errors: Sequence[int]  # beside those that every such operation has


class EmptyResponse(TypedDict):
    """`{}`."""


OPERATIONS: dict[Callable[..., Any], Operation] = {}  # by the view's method

# Paths of older clients, which lead to the same views: deprecated operations, under ids of their own.
OLD_PATHS = {
    "api/v1/health/ping": "v1.health.ping",
    "api/v1/auth/dashboard-access/{app_id}": "v1.authentication.dashboard-access",
    "api/v1/app/{app_id}/msg/{msg_id}/attempt": "v1.message-attempt.list-of-msg",
    "api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt": "v1.message-attempt.list-by-both",
}


def operation[Method: Callable[..., Response]](
    id: str,  # noqa: A002  OpenAPI's word for it
    answers: Mapping[int, Any],
    *,
    body: type[Input] | None = None,
    query: Sequence[Parameter] = (),
    errors: Sequence[int] = (),
) -> Callable[[Method], Method]:
    """State what a view's method takes and answers. It stays the method it is."""

    def state(method: Method) -> Method:
        OPERATIONS[method] = Operation(id, answers, body, query, errors)
        return method

    return state


def boolean(name: str, description: str, *, default: bool) -> Parameter:
    """What parameters.flag reads."""
    return Parameter(name, description, {"type": "boolean", "default": default})


def order(*, descending: bool) -> Parameter:
    """What parameters.descending reads."""
    default = "descending" if descending else "ascending"
    schema = {"type": "string", "enum": ["ascending", "descending"], "default": default}
    return Parameter("order", "Oldest first, or newest first.", schema)


# What parameters.cursor reads.
PAGE = (
    Parameter(
        "limit",
        "At most so many items.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT},
    ),
    Parameter(
        "iterator",
        "Where to go on: the `iterator` of the page before, or its `prevIterator` to go back.",
        {"type": "string", "pattern": r"^(-?[a-zA-Z0-9\-_.]{1,256})?$"},
    ),
)
# What parameters.window reads.
WINDOW = (
    Parameter("after", "Only what is later.", {"type": "string", "format": "date-time"}),
    Parameter("before", "Only what is earlier.", {"type": "string", "format": "date-time"}),
)
WITH_CONTENT = boolean("with_content", "Whether payloads and bodies are in the answer.", default=True)

# What parameters.filters reads.
NAME_SCHEMA = {"type": "string", "pattern": r"^[a-zA-Z0-9\-_.]{1,256}$"}
MESSAGE_FILTERS = (
    Parameter("channel", "Only messages with this channel.", NAME_SCHEMA),
    Parameter("tag", "Only messages with this tag.", NAME_SCHEMA),
    Parameter(
        "event_types",
        f"Only these event types, by commas; {MAX_EVENT_TYPES} at most.",
        {
            "type": "string",
            "pattern": rf"^[a-zA-Z0-9\-_.]{{1,256}}(,[a-zA-Z0-9\-_.]{{1,256}}){{0,{MAX_EVENT_TYPES - 1}}}$",
        },
    ),
)
STATUS = Parameter(
    "status",
    "Only what stands so: " + ", ".join(f"{number} {name}" for number, name in STATUSES.items()) + ".",
    {"type": "integer", "enum": [int(number) for number in STATUSES]},
)
ATTEMPT_FILTERS = (
    *MESSAGE_FILTERS,
    STATUS,
    Parameter(
        "status_code_class",
        "Only answers of this class; 0 for no answer.",
        {"type": "integer", "enum": sorted(map(int, CLASSES))},
    ),
)
