from typing import Any

import pytest
from django.core.files.storage import default_storage, storages

from apps.core import ids
from apps.deliveries import payloads
from apps.deliveries.models import Message
from apps.deliveries.payloads import LARGEST, LARGEST_IN_ENTITY

pytestmark = pytest.mark.usefixtures("datastore")


def placed(body: bytes) -> Message:
    message = Message(application_id=ids.new("app"), message_id=ids.new("msg"))
    payloads.place(message, body)
    return message


@pytest.mark.parametrize("size", [0, 2, LARGEST_IN_ENTITY])
def test_what_fits_is_kept_in_the_entity(size: int) -> None:
    message = placed(b"x" * size)
    assert (message.payload, message.payload_file) == (b"x" * size, None)
    assert payloads.read(message) == b"x" * size


@pytest.mark.parametrize("size", [LARGEST_IN_ENTITY + 1, LARGEST])
def test_what_does_not_is_kept_in_storage(size: int) -> None:
    body = bytes(number % 256 for number in range(size))
    message = placed(body)
    assert message.payload is None
    assert message.payload_file == f"payloads/{message.application_id}/{message.message_id}.json"
    assert payloads.read(message) == body


def test_what_fits_leaves_no_file() -> None:
    message = placed(b"x" * LARGEST_IN_ENTITY)
    assert not default_storage.exists(f"payloads/{message.application_id}")


def test_large_messages_do_not_share_a_file() -> None:
    first, second = (placed(letter * LARGEST) for letter in (b"a", b"b"))
    assert payloads.read(first) == b"a" * LARGEST
    assert payloads.read(second) == b"b" * LARGEST


def test_a_lost_file_is_an_error_and_no_empty_body() -> None:
    message = placed(b"x" * LARGEST)
    default_storage.delete(message.payload_file)
    with pytest.raises(OSError, match="payloads"):
        payloads.read(message)


def test_payloads_are_in_storage_of_their_own_where_there_is_one(settings: Any) -> None:
    backend = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "payloads": backend}
    message = placed(b"x" * LARGEST)
    assert storages["payloads"].exists(message.payload_file)
    assert not default_storage.exists(message.payload_file)
    assert payloads.read(message) == b"x" * LARGEST
