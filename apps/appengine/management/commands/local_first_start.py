"""`manage.py local_first_start`: what the local runtime runs once the database is migrated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string


class Command(BaseCommand):
    """Calls settings.LOCAL_FIRST_START(home), if it is set, and prints its answer as one line of JSON.

    The setting is the dotted path of a function that takes the folder of the local run and returns what
    to show a developer, by title: {"sign-in": "ada@example.com / ..."}. It is called at every start.
    """

    help = "Make what a developer needs to sign in (settings.LOCAL_FIRST_START)."

    def handle(self, *args: Any, **options: Any) -> str:  # noqa: ARG002  Django's signature
        path: str = getattr(settings, "LOCAL_FIRST_START", "")
        if not path:
            return json.dumps({})
        first_start: Callable[[Path], dict[str, str]] = import_string(path)
        home = getattr(settings, "LOCAL_HOME", ".local")  # only settings for a developer's machine have it
        return json.dumps(first_start(Path(home)))
