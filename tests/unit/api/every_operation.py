"""Every operation of the API, from the tables that serve them: what is added there is tested here.

Each comes with a request that its owner may make, so that a refusal of the same request says something.
"""

import re
from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from apps.api.fields import Input, Name, Object, wire_name
from apps.api.not_implemented import PLANNED
from apps.api.operations import OPERATIONS, Operation
from apps.api.scopes import FOR_TOKENS, Scope
from apps.api.urls import VIEWS
from apps.api.v1.endpoints import Url
from apps.api.v1.event_types import FeatureFlags

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Asked:
    """An operation: its method, its path in OpenAPI's notation, and what it states, if it works."""

    method: str
    template: str
    states: Operation | None

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.template)

    @property
    def scope(self) -> Scope | None:
        """The capabilities with which a token may, None where it never may."""
        return FOR_TOKENS.get(self.template, {}).get(self.method)

    @property
    def is_open(self) -> bool:
        """Whether it asks for no credential."""
        return self.states is not None and not VIEWS[self.template].permission_classes

    def path(self, there: dict[str, str]) -> str:
        """Of planned operations some want what is not there yet: any name does."""
        missing = dict.fromkeys(self.parameters, "any-name") if self.states is None else {}
        return "/" + self.template.format_map(missing | there)

    def body(self) -> dict[str, Any] | None:
        """The least that it takes; None where it takes nothing."""
        return least(self.states.body) if self.states and self.states.body else None


def _all() -> list[Asked]:
    working = [
        Asked(method, path, OPERATIONS[getattr(view, method.lower())])
        for path, view in VIEWS.items()
        for method in METHODS
        if hasattr(view, method.lower())
    ]
    planned = [Asked(method, path, None) for path in PLANNED for method in PLANNED[path].split()]
    return working + planned


ALL = _all()
WORKING = [one for one in ALL if one.states]
PLANNED_ONES = [one for one in ALL if not one.states]
CLOSED = [one for one in WORKING if not one.is_open]
WITH_BODY = [one for one in WORKING if one.states and one.states.body]
WITH_PATH = [one for one in WORKING if one.parameters]
WITH_QUERY = [one for one in WORKING if one.states and one.states.query]


def fields(body: type[Input]) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """By the names of the wire."""
    return {wire_name(name): field for name, field in body().fields.items()}


def least(body: type[Input]) -> dict[str, Any]:
    """What is required, and nothing else."""
    return {name: example(name, field) for name, field in fields(body).items() if field.required}


def example(name: str, field: serializers.Field[Any, Any, Any, Any]) -> Any:
    """A value that the field takes; of the fixture `there` where it names something."""
    if name == "eventType":
        return "invoice.paid"
    if isinstance(field, Input):
        return least(type(field))
    return next(value for kind, value in EXAMPLES.items() if isinstance(field, kind))


# The first that fits.
EXAMPLES: dict[type, Any] = {
    Url: "https://example.com/hook",
    Name: "new-name",
    serializers.CharField: "text",
    serializers.DateTimeField: "2026-01-31T12:00:00Z",
    serializers.BooleanField: True,
    serializers.IntegerField: 3600,
    Object: {},
    serializers.DictField: {},
    serializers.ListField: [],
    serializers.Field: "2026-01-31T12:00:00Z",  # a time, in a field of its own
}
# What JSON has for a field's values; the first that fits.
JSON_TYPES: dict[type, tuple[type, ...]] = {
    serializers.BooleanField: (bool,),
    serializers.IntegerField: (int,),
    FeatureFlags: (list, str),
    serializers.ListField: (list,),
    serializers.DictField: (dict,),
    Object: (dict,),
    Input: (dict,),
    serializers.Field: (str,),
}


def json_types(field: serializers.Field[Any, Any, Any, Any]) -> tuple[type, ...]:
    return next(types for kind, types in JSON_TYPES.items() if isinstance(field, kind))
