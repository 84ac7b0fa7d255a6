"""What a view, a field or a parser raises to answer with an error. apps.api.errors makes the answers."""

from collections.abc import Sequence
from typing import TypedDict

from rest_framework.exceptions import APIException


class HttpErrorOut(TypedDict):
    """What every error answers but 422."""

    code: str
    detail: str


class ValidationErrorItem(TypedDict):
    loc: list[str]
    msg: str
    type: str


class HTTPValidationError(TypedDict):
    """What 422 answers."""

    detail: list[ValidationErrorItem]


class Invalid(APIException):
    """One thing wrong with a request: `loc` is where, as in ["query", "limit"]."""

    status_code = 422

    def __init__(self, loc: Sequence[str], msg: str, type: str = "value_error") -> None:  # noqa: A002  the field's name
        super().__init__(msg, type)
        self.item: ValidationErrorItem = {"loc": list(loc), "msg": msg, "type": type}


class Conflict(APIException):
    """What is to be created exists already."""

    status_code, default_code = 409, "conflict"


class TooLarge(APIException):
    """The request, or the message in it, is over the limit."""

    status_code, default_code = 413, "payload_too_large"


class NotImplementedYet(APIException):
    """The official SDKs can ask for it; Waybill does not do it yet, and never only pretends to."""

    status_code, default_code = 501, "not_implemented"
