"""Request bodies: a JSON object as RFC 8259 has it, bounded in size and depth."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.parsers import BaseParser

from apps.api.exceptions import Invalid, TooLarge
from apps.deliveries import payloads

# A message's payload may take three times its bytes in a body that escapes all but ASCII.
LARGEST_BODY = 3 * payloads.LARGEST + 65_536
DEEPEST = 128  # objects and arrays within each other; what Svix's parser takes too


class JsonParser(BaseParser):
    """REST_FRAMEWORK["DEFAULT_PARSER_CLASSES"]. Raises Invalid or TooLarge, never anything else."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002  DRF's signature
    ) -> dict[str, Any]:
        body: bytes = stream.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"The request body is over {LARGEST_BODY:,} bytes.")
        try:
            value = json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite)
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:  # malformed JSON, no UTF-8, numbers that nothing can hold
            raise Invalid(["body"], f"Malformed JSON: {error}", "value_error.jsondecode") from None
        if not isinstance(value, dict):
            raise Invalid(["body"], "Must be a JSON object.", "type_error")
        if _is_deep(value):
            raise _too_deep()
        return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _is_deep(value: Any) -> bool:
    """Whether containers nest deeper than DEEPEST. Level by level, so no stack runs out."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _too_deep() -> Invalid:
    return Invalid(["body"], f"More than {DEEPEST} objects or arrays within each other.")
