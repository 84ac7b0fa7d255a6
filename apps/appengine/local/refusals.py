"""What the local Datastore and the local queue server refuse, with the codes that production answers."""

from typing import Any

import grpc


class Refused(Exception):
    """A call that is answered with this status instead of a result."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def unimplemented(what: str) -> Refused:
    return Refused(grpc.StatusCode.UNIMPLEMENTED, f"{what} is not implemented by the embedded Datastore.")


def refuse_fields(message: Any, *names: str) -> None:
    """Raises Refused: the message asks for what is not there."""
    for descriptor, _ in message.ListFields():
        if descriptor.name in names:
            raise unimplemented(f"{type(message).__name__}.{descriptor.name}")
