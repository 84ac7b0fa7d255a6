"""`manage.py rotate_field_keys`: see apps.core.encryption for the steps of a rotation."""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from apps.core import encryption, rotation, snapshots


class Command(BaseCommand):
    """Writes what is under older keys again under the first one; says which keys are in use.

    Fails when rows under other keys are left: unreadable ones, or ones that somebody wrote meanwhile.
    """

    help = "Encrypt every encrypted field again under the first of FIELD_ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="write nothing, say which keys are in use")

    def handle(self, *_: Any, dry_run: bool, **__: Any) -> None:
        try:
            first, *others = encryption.keys()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if not dry_run:
            for column in rotation.columns():
                self._rotate(column)
        used = self._report(first)
        left = sum(count for key_id, count in used.items() if key_id != first)
        if left and not dry_run:
            raise CommandError(f"{left} values are not under key {first!r}. Run this again, or see above.")
        for key_id in others:
            if not used[key_id]:
                self.stdout.write(
                    f"No row uses key {key_id!r}. Once every version that runs lists {first!r} first and "
                    f"{snapshots.SNAPSHOT_S} s have passed (snapshots in Redis), it may be removed."
                )

    def _rotate(self, column: rotation.Column) -> None:
        written = changed = 0
        for batch in rotation.rotate(column):
            written, changed = written + batch.written, changed + batch.changed_meanwhile
            for reason in batch.unreadable:
                self.stderr.write(f"left as it is: {reason}")
            self.stdout.write(f"{column}: {written} written, {changed} changed by others meanwhile")

    def _report(self, first: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for column in rotation.columns():
            used = rotation.usage(column)
            total += used
            shown = ", ".join(f"{count} under {key_id!r}" for key_id, count in sorted(used.items()))
            self.stdout.write(f"{column}: {shown or 'no values'}")
        self.stdout.write(f"The first key is {first!r}.")
        return total
