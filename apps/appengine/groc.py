"""Groc, the schedule language of cron.yaml: `every 10 mins`, `2nd,third mon of march 17:00`.

The grammar is that of Google's parser in the Cloud SDK (`googlecloudsdk.appengine.googlecron`), which
the tests compare with. Reference:
https://cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml
"""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from .recurrence import EVERY_ORDINAL, EVERY_WEEKDAY, DailyRange, Interval, TimeOfDay

ORDINALS = {"1st": 1, "first": 1, "2nd": 2, "second": 2, "3rd": 3, "third": 3}
ORDINALS |= {"4th": 4, "fourth": 4, "5th": 5, "fifth": 5}
WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
MONTHS = [name.lower() for name in calendar.month_name]
EVERY_MONTH = frozenset(range(1, 13))
LEAP_YEAR = 2024

TIME = r"(?:[01]\d|2[0-3]|\d):[0-5]\d"
ORDINAL = "|".join(ORDINALS)
MONTH_OF_QUARTER = "1st|first|2nd|second|3rd|third"
WEEKDAY = "|".join(f"{name}|{name[:3]}" for name in WEEKDAYS)
MONTH = "|".join(f"{name}|{name[:3]}" for name in MONTHS[1:])
WORD = "month|quarter|every|day|hours|minutes|mins|of|from|to|synchronized"
TOKEN = re.compile(rf"{TIME}|{ORDINAL}|{WORD}|{WEEKDAY}|{MONTH}|\d{{1,5}}|,")


def one_or_more(item: str) -> str:
    """The pattern of a list separated by commas."""
    return rf"(?:{item})(?: , (?:{item}))*"


INTERVAL = re.compile(
    rf"every (?P<number>\d+) (?P<unit>hours|minutes|mins)"
    rf"(?: (?P<synchronized>synchronized)| from (?P<start>{TIME}) to (?P<end>{TIME}))?"
)
TIME_OF_DAY = re.compile(
    rf"(?:(?P<ordinals>every|{one_or_more(ORDINAL)}) (?P<weekdays>day|{one_or_more(WEEKDAY)})"
    rf"|(?P<monthdays>{one_or_more(r'\d+')})(?= of ))"
    rf"(?: of (?:(?P<months>month|{one_or_more(MONTH)})"
    rf"|(?:(?P<quarter_months>{one_or_more(MONTH_OF_QUARTER)}) month of )?(?P<quarter>quarter)))?"
    rf" (?P<time>{TIME})"
)


@dataclass(frozen=True)
class Schedule:
    """One schedule as cron.yaml gives it, and the times it stands for."""

    text: str
    times: Interval | DailyRange | TimeOfDay

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> "Schedule":
        """Read one schedule. Raises ValueError with what is wrong with the text or the time zone."""
        try:
            zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as error:  # not found, not a name, a directory
            raise ValueError(f"time zone {timezone!r} is unknown") from error
        words = tokens(text)
        if match := INTERVAL.fullmatch(words):
            return cls(text, interval(match, zone))
        if match := TIME_OF_DAY.fullmatch(words):
            return cls(text, time_of_day(match, zone))
        raise ValueError(f"{text!r} is no schedule that App Engine's cron understands")

    def next_after(self, moment: datetime) -> datetime:
        """The first time to run after `moment` (aware), in UTC."""
        return self.times.next_after(moment)


def tokens(text: str) -> str:
    """The words of a schedule with one blank between them: white space means nothing in Groc."""
    if unknown := TOKEN.sub(" ", text).split():
        raise ValueError(f"{unknown[0]!r} in {text!r} is no word of a schedule")
    return " ".join(TOKEN.findall(text))


def interval(match: re.Match[str], zone: ZoneInfo) -> Interval | DailyRange:
    """`every N hours|minutes`, plain, synchronized or between two times of day."""
    number = int(match["number"])
    if number < 1:
        raise ValueError("the interval must be greater than zero")
    every = timedelta(hours=number) if match["unit"] == "hours" else timedelta(minutes=number)
    if match["synchronized"]:
        if timedelta(days=1) % every:
            raise ValueError("synchronized needs a period that divides 24 hours evenly")
        return DailyRange(every=every, start=time(0), end=time(23, 59), timezone=zone)
    if match["start"]:
        return DailyRange(
            every=every, start=clock_time(match["start"]), end=clock_time(match["end"]), timezone=zone
        )
    return Interval(every=every)


def time_of_day(match: re.Match[str], zone: ZoneInfo) -> TimeOfDay:
    """`ordinals weekdays of months hh:mm` or `monthdays of months hh:mm`."""
    at, months = clock_time(match["time"]), months_of(match)
    ordinals = frozenset(ORDINALS[word] for word in items(match["ordinals"]) if word != "every")
    monthdays = frozenset(int(day) for day in items(match["monthdays"]))
    if match["weekdays"] == "day":  # "2nd day" is the second of the month
        monthdays = ordinals
    if monthdays:
        check_monthdays(monthdays, months)
        return TimeOfDay(at=at, timezone=zone, months=months, monthdays=monthdays)
    weekdays = frozenset(position(word, WEEKDAYS) for word in items(match["weekdays"]) if word != "day")
    ordinals, weekdays = ordinals or EVERY_ORDINAL, weekdays or EVERY_WEEKDAY
    return TimeOfDay(at=at, timezone=zone, months=months, ordinals=ordinals, weekdays=weekdays)


def months_of(match: re.Match[str]) -> frozenset[int]:
    """Every month unless some are named; of a quarter the first, or those named by their place in it."""
    if match["quarter"]:
        places = [ORDINALS[word] for word in items(match["quarter_months"])] or [1]
        return frozenset(quarter + place for place in places for quarter in (0, 3, 6, 9))
    named = [position(word, MONTHS) for word in items(match["months"]) if word != "month"]
    return frozenset(named) or EVERY_MONTH


def check_monthdays(monthdays: frozenset[int], months: frozenset[int]) -> None:
    """Raises ValueError for a day that no month has, or none of the months named."""
    longest = max(calendar.monthrange(LEAP_YEAR, month)[1] for month in months)
    if min(monthdays) < 1 or max(monthdays) > 31 or min(monthdays) > longest:
        raise ValueError("there is no such day of the month")


def items(words: str | None) -> list[str]:
    return words.split(" , ") if words else []


def position(word: str, names: list[str]) -> int:
    """The number of a day or month, given in full or by its first three letters."""
    return next(number for number, name in enumerate(names) if name and name.startswith(word))


def clock_time(text: str) -> time:
    hour, minute = text.split(":")
    return time(int(hour), int(minute))
