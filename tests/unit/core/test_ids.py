import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from apps.core import ids

TICK = timedelta(milliseconds=4)
AT = datetime(2026, 11, 22, 15, 3, 47, 614_999, UTC)


def test_an_id_is_its_prefix_and_27_digits() -> None:
    prefix, _, ksuid = ids.new("msg").partition("_")
    assert prefix == "msg"
    assert len(ksuid) == 27
    assert ksuid.isalnum()
    assert ksuid.isascii()


def test_the_time_comes_back_to_within_four_milliseconds() -> None:
    assert AT - TICK < ids.time_of(ids.new("msg", AT)) <= AT
    assert ids.time_of(ids.new("msg", AT)) == AT.replace(microsecond=612_000)
    now = datetime.now(UTC)
    assert now - TICK < ids.time_of(ids.new("msg")) < now + timedelta(seconds=5)


def test_ids_sort_by_time() -> None:
    times = [AT + TICK * count for count in range(600)]
    made = [ids.new("msg", at) for at in random.sample(times, len(times))]
    assert [ids.time_of(one) for one in sorted(made)] == [at - timedelta(microseconds=2_999) for at in times]


def test_ids_of_the_same_moment_differ() -> None:
    assert len({ids.new("msg", AT) for _ in range(1000)}) == 1000


def test_a_known_ksuid_has_its_known_parts() -> None:
    """From https://github.com/segmentio/ksuid; its payload begins with 0xB5: 181 ticks in our reading."""
    known = "0ujtsYcgvSTl8PAuAdqWYSMnLOv"
    assert f"{ids.decode(known):040X}" == "0669F7EFB5A1CD34B5F99D1154FB6853345C9735"
    assert ids.encode(ids.decode(known)) == known
    assert ids.time_of(known) == datetime.fromtimestamp(1_400_000_000 + 107_608_047, UTC) + 181 * TICK


def test_the_first_and_the_last_id_there_can_be() -> None:
    assert ids.bounds("msg", ids.EPOCH) == "msg_" + "0" * 27
    assert ids.encode(2**160 - 1) == "aWgEPTl1tmebfsQzFP4bxwgy80V"
    assert ids.is_id("msg", "msg_aWgEPTl1tmebfsQzFP4bxwgy80V")
    assert not ids.is_id("msg", "msg_aWgEPTl1tmebfsQzFP4bxwgy80W")


def test_bounds_divide_what_was_made_before_from_what_was_made_then() -> None:
    bound = ids.bounds("msg", AT)
    assert ids.new("msg", AT - TICK) < bound <= ids.new("msg", AT) < ids.bounds("msg", AT + TICK)
    assert ids.is_id("msg", bound)


def test_bounds_outside_what_ids_can_hold_include_or_exclude_everything() -> None:
    made = ids.new("msg", AT)
    assert (
        ids.bounds("msg", datetime(1970, 1, 1, tzinfo=UTC))
        < made
        < ids.bounds("msg", datetime(9999, 1, 1, tzinfo=UTC))
    )


@pytest.mark.parametrize("at", [ids.EPOCH - TICK, ids.END, datetime(1970, 1, 1, tzinfo=UTC)])
def test_a_time_that_no_id_can_hold_is_refused(at: datetime) -> None:
    with pytest.raises(ValueError, match="outside what an id can hold"):
        ids.new("msg", at)


def test_the_time_zone_must_be_given_and_makes_no_difference() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-7)))
    assert ids.bounds("msg", elsewhere) == ids.bounds("msg", AT)
    for function in (ids.new, ids.bounds):
        with pytest.raises(ValueError, match="no time zone"):
            function("msg", AT.replace(tzinfo=None))


NONSENSE = [
    "",
    "msg_",
    "msg_" + "0" * 26,
    "msg_" + "0" * 28,
    "msg_" + "z" * 27,
    "msg_" + "0" * 26 + "-",
    "msg_" + "\u0660" * 27,
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_no_id_and_has_no_time(text: str) -> None:
    assert not ids.is_id("msg", text)
    with pytest.raises(ValueError, match="is no KSUID"):
        ids.time_of(text)


def test_an_id_has_one_prefix() -> None:
    made = ids.new("msg")
    assert ids.is_id("msg", made)
    assert not ids.is_id("ep", made)
    assert not ids.is_id("ms", made)
    assert not ids.is_id("msg", made.removeprefix("msg_"))
    assert not ids.is_id("msg", f"msg_{made}")
