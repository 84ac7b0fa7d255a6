from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from apps.deliveries.retry_policy import next_delay, parse_retry_after

SCHEDULE = [timedelta(seconds=seconds) for seconds in (0, 5, 300, 1800, 7200, 18000, 36000, 36000)]
NOW = datetime(2026, 11, 22, 15, 3, 47, tzinfo=UTC)
HUGE = timedelta(days=10_000)


@pytest.mark.parametrize("made", range(8))
def test_each_delay_is_the_planned_one_with_up_to_20_percent_jitter(made: int) -> None:
    planned = SCHEDULE[made]
    delays = [next_delay(made, SCHEDULE) for _ in range(300)]
    assert all(0.8 * planned <= delay <= 1.2 * planned for delay in delays)
    if planned:
        assert min(delays) < 0.9 * planned, "the jitter spreads downwards"
        assert max(delays) > 1.1 * planned, "and upwards"


@pytest.mark.parametrize("made", [8, 9, 1000])
def test_no_attempt_follows_the_last_of_the_schedule(made: int) -> None:
    assert next_delay(made, SCHEDULE) is None
    assert next_delay(made, SCHEDULE, timedelta(seconds=1)) is None


def test_retry_after_counts_between_one_and_two_times_the_planned_delay() -> None:
    planned = timedelta(seconds=300)
    for _ in range(300):
        assert 0.8 * planned <= next_delay(2, SCHEDULE, timedelta(0)) <= 1.2 * planned
        assert next_delay(2, SCHEDULE, 1.4 * planned) == 1.4 * planned
        assert 1.6 * planned <= next_delay(2, SCHEDULE, HUGE) <= 2.4 * planned


def test_retry_after_does_not_delay_what_is_due_at_once() -> None:
    assert next_delay(0, SCHEDULE, HUGE) == timedelta(0)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("120", 120), ("0" * 5000 + "7", 7)])
def test_retry_after_in_seconds(value: str, seconds: int) -> None:
    assert parse_retry_after(value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["9" * 12, "9" * 400, "9" * 5000])
def test_retry_after_in_absurdly_many_seconds_is_a_long_time(value: str) -> None:
    assert parse_retry_after(value, NOW) >= timedelta(days=10_000)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 22 Nov 2026 15:05:47 GMT",  # IMF-fixdate
        "Sunday, 22-Nov-26 15:05:47 GMT",  # RFC 850, obsolete
        "Sun Nov 22 15:05:47 2026",  # asctime, obsolete: no zone means GMT
        "Sun, 22 Nov 2026 16:05:47 +0100",
        format_datetime(NOW + timedelta(seconds=120), usegmt=True),
    ],
)
def test_retry_after_as_an_http_date(value: str) -> None:
    assert parse_retry_after(value, NOW) == timedelta(seconds=120)


@pytest.mark.parametrize(
    "value",
    ["Sun, 22 Nov 2026 15:03:46 GMT", "Fri, 31 Jan 1958 00:00:00 GMT", "Mon, 01 Jan 1900 00:00:00 GMT"],
)
def test_a_date_that_is_over_asks_for_no_delay(value: str) -> None:
    assert parse_retry_after(value, NOW) == timedelta(0)


def test_a_date_at_the_end_of_time_is_a_long_time() -> None:
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 -2359", NOW) > timedelta(days=10_000)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "-1",
        "1.5",
        "1e9",
        "\u0661\u0662",  # Arabic digits: digits to Python, not to HTTP
        "\u00b2",
        "Sun, 22 Nov 99999 15:05:47 GMT",
        "Sun, 22 Nov 99999999999999999999 15:05:47 GMT",
        "Sun, 22 Nov 2026 99999999999999999999:05:47 GMT",
        "Sun, 22 Nov 2026 15:05:47 +9999",
        "Sun, 22 Nov 2026 15:05:47 +99999999999999999999",
        "Sun, 32 Nov 2026 25:61:61 GMT",
        ",,, ::",
        "22 Nov " + "9" * 5000,
    ],
)
def test_nonsense_asks_for_nothing(value: str) -> None:
    assert parse_retry_after(value, NOW) is None
