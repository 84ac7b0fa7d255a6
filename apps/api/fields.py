"""Serializer fields and the base of all inputs: strict where DRF's own would coerce.

A field's `json_schema` is what the OpenAPI document says of it beside what its options say.
"""

import json
import re
from functools import cache
from typing import Any, ClassVar

from django.db.models import Model
from rest_framework import serializers

NAME = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")
LARGEST_METADATA = 4096  # bytes of JSON
MAX_RATE = 65_535
# What SDKs 1.x and the open server call it on the right.
OLD_NAMES = {"eventTypes": "filterTypes", "throttleRate": "rateLimit", "featureFlags": "featureFlag"}


class Text(serializers.CharField):
    """A string exactly as sent: not trimmed, and no number taken for one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Boolean(serializers.BooleanField):
    """true or false, not "yes" or 0."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Integer(serializers.IntegerField):
    """A number, and no string that holds one."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class Name(Text):
    """A label made of letters, digits, dots, hyphens and underscores; with `id_prefix`, one that is no id."""

    def __init__(self, *, id_prefix: str | None = None, **options: Any) -> None:
        self.id_prefix = id_prefix
        super().__init__(**{"max_length": 256, **options})

    @property
    def json_schema(self) -> dict[str, Any]:
        prefix = f"(?!{self.id_prefix})" if self.id_prefix else ""
        return {"pattern": f"^{prefix}{NAME.pattern}$"}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not NAME.fullmatch(value):
            raise serializers.ValidationError("Only letters, digits, '.', '-' and '_' are allowed.")
        if self.id_prefix and value.startswith(self.id_prefix):
            raise serializers.ValidationError(f"Must not begin with {self.id_prefix!r}, as ids do.")
        return value


class Names(serializers.ListField):
    """Distinct names, in the order sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"child": Name(), "min_length": 1, **options})

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class Object(serializers.JSONField):
    """Any JSON object, as it is."""

    json_schema: ClassVar = {"type": "object"}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be a JSON object.")
        return data


class Metadata(serializers.DictField):
    """Strings by name, for the customer's own use."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"child": Text(allow_blank=True), **options})

    def to_internal_value(self, data: Any) -> dict[str, str]:
        value: dict[str, str] = super().to_internal_value(data)
        if len(json.dumps(value)) > LARGEST_METADATA:
            raise serializers.ValidationError(f"Takes more than {LARGEST_METADATA} bytes.")
        return value


class Input(serializers.Serializer[Any]):
    """A request body: camelCase outside, the model's names inside. Other fields are ignored, as Svix does."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):  # within another input
            raise serializers.ValidationError({"non_field_errors": ["Must be a JSON object."]})
        names = self.fields.keys()
        sent = {name: data[alias] for name in names for alias in _aliases(name) if alias in data}
        try:
            return super().to_internal_value(sent)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(_camel_case(error.detail)) from error

    @classmethod
    def read(cls, body: Any) -> dict[str, Any]:
        """The fields that were sent, null ones left out. Raises ValidationError."""
        validated = _serializer(cls).run_validation(body)
        return {name: value for name, value in validated.items() if value is not None}

    @classmethod
    def read_all(cls, body: Any, model: type[Model]) -> dict[str, Any]:
        """Every field, those that were not sent as a new `model` has them. Raises ValidationError."""
        new = model()
        return {name: getattr(new, name) for name in map(str, _serializer(cls).fields)} | cls.read(body)


class Patch(Input):
    """A request body of which everything may be left out: null is a value, and absent is as it was."""

    @classmethod
    def read(cls, body: Any) -> dict[str, Any]:
        """The fields that were sent, null where it was. Raises ValidationError."""
        validated: dict[str, Any] = _serializer(cls).run_validation(body)
        return validated


def assign(row: Model, values: dict[str, Any]) -> None:
    """Set the row's columns, not yet written."""
    for name, value in values.items():
        setattr(row, name, value)


@cache
def _serializer(kind: type[Input]) -> Input:
    """One for the process. It keeps no state, and making one costs four times what using it does."""
    return kind(partial=issubclass(kind, Patch))


def _aliases(name: str) -> list[str]:
    """What a field may be called in a request. Where both are sent the last one counts."""
    wire = wire_name(name)
    return [OLD_NAMES[wire], wire] if wire in OLD_NAMES else [wire]


def wire_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _camel_case(detail: Any) -> Any:
    return {wire_name(name): inner for name, inner in detail.items()}
