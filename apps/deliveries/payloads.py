"""Where a message's bytes are: in its entity, or in storage when they are too many for one."""

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from apps.deliveries.models import Message

# A Datastore entity holds 1,048,572 bytes in all.
LARGEST_IN_ENTITY = 900_000
LARGEST = 1_048_576


class Expunged(Exception):
    """The message's payload was deleted on request."""


def storage() -> Storage:
    """The bucket of payloads, whose lifecycle deletes them, or the default storage where none is named."""
    return storages["payloads" if "payloads" in settings.STORAGES else "default"]


def place(message: Message, body: bytes) -> None:
    """Put the bytes into the message, or into storage under a name that the message then bears.

    Storage is written before the message is committed: a crash between leaves a file that no message
    names, which the bucket's lifecycle deletes, never a message without its bytes.
    """
    if len(body) <= LARGEST_IN_ENTITY:
        message.payload = body
        return
    name = f"payloads/{message.application_id}/{message.message_id}.json"
    message.payload_file = storage().save(name, ContentFile(body))


def read(message: Message) -> bytes:
    """The exact bytes that were accepted.

    Raises Expunged; OSError when storage has lost them or does not answer.
    """
    if message.expunged:
        raise Expunged(message.message_id)
    if message.payload_file:
        with storage().open(message.payload_file) as file:
            body: bytes = file.read()
            return body
    return message.payload or b""


def delete_file(message: Message) -> None:
    """Delete what storage holds of the payload, if anything. Raises what storage raises."""
    if message.payload_file:
        storage().delete(message.payload_file)
