"""The schedule language, compared with Google's own parser from the Cloud SDK."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.appengine.groc import Schedule
from apps.appengine.local.datastore_emulator import sdk_roots

ORACLE = """
import json, sys
sys.path[:0] = [sys.argv[1] + "/lib", sys.argv[1] + "/lib/third_party"]
from datetime import datetime, timezone
import pytz
from googlecloudsdk.appengine.googlecron import groctimespecification as google
google.pytz = pytz  # the SDK ships both and leaves them unconnected
google.AmbiguousTimeError, google.NonExistentTimeError = pytz.AmbiguousTimeError, pytz.NonExistentTimeError
for line in sys.stdin:
    text, zone, start, count = json.loads(line)
    try:
        matches = google.GrocTimeSpecification(text, zone).GetMatches(datetime.fromisoformat(start), count)
        print(json.dumps([match.replace(microsecond=0).isoformat() for match in matches]))
    except Exception as error:
        print(json.dumps(None))
"""

SCHEDULES = [
    "every 10 mins",
    "every 24 hours",
    "every 90 minutes",
    "every 1 mins",
    "every 2 hours synchronized",
    "every 20 mins synchronized",
    "every 5 minutes from 10:00 to 14:00",
    "every 7 mins from 9:05 to 9:40",
    "every 45 mins from 22:30 to 02:15",
    "every 3 hours from 00:00 to 23:59",
    "every 10 mins from 02:00 to 03:30",
    "every day 00:00",
    "every day 02:30",
    "every day 1:30",
    "every monday 09:00",
    "every wed,fri of jan,jun 13:15",
    "2nd,third mon,wed of march 17:00",
    "1st,third tue of month 04:05",
    "1,15 of month 04:05",
    "31 of month 12:00",
    "29 of feb 00:00",
    "29,30 of february,may 6:07",
    "every mon,tue of month 08:00",
    "first sunday of quarter 00:00",
    "1st day of quarter 03:00",
    "1,2,3 of 2nd month of quarter 03:00",
    "2nd,3rd day of 1st,third month of quarter 23:59",
    "every sunday of october,november 01:30",
    "fourth,5th sat 10:00",
    "5th monday of feb 10:00",
    "every10mins",
    "  every   day\t10:00",
]
BAD_SCHEDULES = [
    "",
    "every",
    "every 1 hour",
    "every 0 mins",
    "every 7 hours synchronized",
    "every 48 hours synchronized",
    "every 5 mins from 10:00",
    "every 5 mins synchronized from 10:00 to 11:00",
    "every day 24:00",
    "every day 10:60",
    "every day",
    "every 123456 mins",
    "Every 10 mins",
    "0 of month 10:00",
    "32 of month 10:00",
    "30,31 of feb 10:00",
    "1 10:00",
    "6th monday 10:00",
    "mon 10:00",
    "every mon tue 10:00",
    "every mon, 10:00",
    "1st day of 4th month of quarter 10:00",
    "every day 10:00 every day 11:00",
    "*/5 * * * *",
]
# Clock changes in both hemispheres, a half-hour one, one that skips midnight; a leap day, a year's end.
MOMENTS = [
    ("America/New_York", datetime(2024, 3, 9, 22, 17, 41, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, 4, 59, 59, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2024, 3, 31, 0, 59, 0, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2024, 10, 27, 0, 0, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 12, 0, 0, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 3, 20, 0, 0, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC)),
    ("UTC", datetime(2025, 12, 31, 23, 59, 0, tzinfo=UTC)),
]
MATCHES = 4


@pytest.fixture(scope="module")
def sdk() -> Path:
    for root in sdk_roots():
        if (root / "lib/googlecloudsdk/appengine/googlecron").is_dir():
            return root
    if os.environ.get("CI"):
        pytest.fail("the Google Cloud SDK is not installed")
    pytest.skip("the Google Cloud SDK is not installed")


def ask_google(sdk: Path, cases: list[tuple[str, str, datetime]]) -> list[list[datetime] | None]:
    lines = "".join(
        json.dumps([text, zone, start.replace(tzinfo=None).isoformat(), MATCHES]) + "\n"
        for text, zone, start in cases
    )
    command = [sys.executable, "-I", "-W", "ignore", "-c", ORACLE, str(sdk)]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=60)
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    return [
        matches and [datetime.fromisoformat(match + "+00:00") for match in matches] for matches in answers
    ]


def ours(text: str, zone: str, start: datetime) -> list[datetime]:
    schedule, moments, moment = Schedule.parse(text, zone), [], start
    for _ in range(MATCHES):
        moment = schedule.next_after(moment)
        moments.append(moment)
    return moments


def test_every_schedule_runs_at_the_times_that_googles_parser_gives(sdk: Path) -> None:
    anywhen = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(10**8))
    moments = [*MOMENTS, (random.choice(MOMENTS)[0], anywhen)]
    cases = [(text, zone, start) for text in SCHEDULES for zone, start in moments]
    differing = [
        (case, theirs, ours(*case))
        for case, theirs in zip(cases, ask_google(sdk, cases), strict=True)
        if theirs != ours(*case)
    ]
    assert differing[:3] == []


def test_what_googles_parser_refuses_is_refused(sdk: Path) -> None:
    cases = [(text, "UTC", MOMENTS[0][1]) for text in BAD_SCHEDULES]
    assert dict(zip(BAD_SCHEDULES, ask_google(sdk, cases), strict=True)) == dict.fromkeys(BAD_SCHEDULES)
    for text in BAD_SCHEDULES:
        with pytest.raises(ValueError, match=r"schedule|synchronized|interval|day of the month"):
            Schedule.parse(text)


def test_an_unknown_time_zone_is_refused_by_name() -> None:
    for zone in ["Mars/Olympus", "", "../etc/passwd", "America"]:
        with pytest.raises(ValueError, match="time zone"):
            Schedule.parse("every 10 mins", zone)


def test_a_time_that_the_clocks_skip_waits_for_the_next_day() -> None:
    schedule = Schedule.parse("every day 02:30", "Europe/Berlin")
    before_the_change = datetime(2024, 3, 30, 12, tzinfo=UTC)
    assert schedule.next_after(before_the_change) == datetime(2024, 4, 1, 0, 30, tzinfo=UTC)
