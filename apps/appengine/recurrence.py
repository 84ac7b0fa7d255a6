"""The two kinds of times that a cron schedule stands for, with time zones and clock changes.

The choice of times is that of Google's `groctimespecification` in the Cloud SDK, which the tests
compare with. Moments are aware datetimes; results are in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVERY_ORDINAL = frozenset(range(1, 6))
EVERY_WEEKDAY = frozenset(range(7))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """One run an interval after the other."""

    every: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """One interval later, on the full minute."""
        return (moment.astimezone(UTC) + self.every).replace(second=0, microsecond=0)


@dataclass(frozen=True, kw_only=True)
class DailyRange:
    """Steps of an interval, counted anew each day from `start` up to and including `end`."""

    every: timedelta
    start: time
    end: time
    timezone: ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """The next step if it and `moment` lie in the range, else the next start of the range."""
        moment = moment.astimezone(UTC)
        began = self._previous(moment, self.start)
        step = began + ((moment - began) // self.every + 1) * self.every
        next_start = self._next(moment, self.start)
        return step if self._in_range(moment) and self._in_range(step) and step < next_start else next_start

    def _in_range(self, moment: datetime) -> bool:
        ended = self._previous(moment, self.end)
        return self._previous(moment, self.start) > ended or moment == ended

    def _previous(self, moment: datetime, at: time) -> datetime:
        """The latest moment with this time of day, not after `moment`."""
        day = moment.astimezone(self.timezone).date()
        while (found := instant_or_end_of_gap(day, at, self.timezone)) > moment:
            day -= timedelta(days=1)
        return found

    def _next(self, moment: datetime, at: time) -> datetime:
        """The earliest moment with this time of day, after `moment`."""
        day = moment.astimezone(self.timezone).date()
        while (found := instant_or_end_of_gap(day, at, self.timezone)) <= moment:
            day += timedelta(days=1)
        return found


@dataclass(frozen=True, kw_only=True)
class TimeOfDay:
    """A time of day on certain days: of the month, or the nth of certain weekdays (0 is Sunday)."""

    at: time
    timezone: ZoneInfo
    months: frozenset[int]
    monthdays: frozenset[int] = frozenset()
    ordinals: frozenset[int] = EVERY_ORDINAL
    weekdays: frozenset[int] = EVERY_WEEKDAY

    def next_after(self, moment: datetime) -> datetime:
        """A time that the clocks skip does not run that day; one that they show twice runs twice."""
        day = moment.astimezone(self.timezone).date()
        while True:
            later = [found for found in self._on(day) if found > moment]
            if later:
                return later[0]
            day += timedelta(days=1)

    def _on(self, day: date) -> list[datetime]:
        if day.month not in self.months:
            return []
        ordinal, weekday = (day.day + 6) // 7, day.isoweekday() % 7
        included = (
            day.day in self.monthdays
            if self.monthdays
            else ordinal in self.ordinals and weekday in self.weekdays
        )
        return instants(day, self.at, self.timezone) if included else []


def instants(day: date, at: time, timezone: ZoneInfo) -> list[datetime]:
    """The moments when clocks show this time: none where they skip it, two where they go back."""
    local = datetime.combine(day, at)
    found = {local.replace(tzinfo=timezone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(moment for moment in found if moment.astimezone(timezone).replace(tzinfo=None) == local)


def instant_or_end_of_gap(day: date, at: time, timezone: ZoneInfo) -> datetime:
    """The first moment when clocks show this time or, where they skip it, the next one they show."""
    local = datetime.combine(day, at)
    while not (found := instants(local.date(), local.time(), timezone)):
        local += timedelta(minutes=1)
    return found[0]
