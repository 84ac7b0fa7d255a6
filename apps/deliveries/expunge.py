"""Delete content that should not have been sent, or not have been answered. Safe to repeat.

What remains says that there was a message, or an attempt, and how it went.
"""

from apps.core import datastore
from apps.core.datastore import Writes
from apps.deliveries import payloads
from apps.deliveries.models import Attempt, Message


def message_content(message: Message) -> None:
    """Delete a message's payload. Deliveries that still wait for an attempt are cancelled when it is due.

    An attempt under way goes on with the bytes it has. Raises what storage raises, and then the payload is
    not shown nor sent any more, but its file may be there until this is called again.
    """

    def step(entities: list[Message | None]) -> tuple[Writes, None]:
        (current,) = entities
        if current is None or current.expunged:
            return Writes(), None
        current.expunged, current.payload = True, None
        return Writes(put=[current]), None

    datastore.transact([message.key], step)
    payloads.delete_file(message)


def attempt_content(attempt: Attempt) -> None:
    """Delete what the endpoint answered, but for the status code."""

    def step(entities: list[Attempt | None]) -> tuple[Writes, None]:
        (current,) = entities
        if current is None or not current.response:
            return Writes(), None
        current.response = ""
        return Writes(put=[current]), None

    datastore.transact([attempt.key], step)
