"""Names of versions: when it was made, and of which commit. `make rollback` reads both from the name.

    v20260801t101500-1a2b3c4d5e    d20260801t101500-1a2b3c4d5e, with changes that were not committed

A version's own host is VERSION-dot-PROJECT, one label of at most 63 characters, and a project's id has up
to 30: 28 are left. The first letter keeps it apart from the numbers of instances.
https://cloud.google.com/appengine/docs/standard/how-requests-are-routed
"""

import re
from datetime import datetime

LONGEST = 63 - len("-dot-") - 30
NAME = re.compile(r"(?P<kind>[vd])(?P<time>\d{8}t\d{6})-(?P<commit>[0-9a-f]{10})")


def name(now: datetime, commit: str, *, dirty: bool) -> str:
    """The name of a version made now (UTC)."""
    return f"{'d' if dirty else 'v'}{now:%Y%m%dt%H%M%S}-{commit[:10]}"


def commit(version: str) -> str:
    """The commit that a version was made of, and of nothing else; empty where the name does not say."""
    match = NAME.fullmatch(version)
    return match["commit"] if match and match["kind"] == "v" else ""


def is_ours(version: str) -> bool:
    """Whether this program made it."""
    return NAME.fullmatch(version) is not None


def age_key(version: str) -> str:
    """Sorts versions of this program by when they were made."""
    match = NAME.fullmatch(version)
    return match["time"] if match else ""
