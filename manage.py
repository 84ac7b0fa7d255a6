#!/usr/bin/env python
"""Django's command line. Settings are the local ones unless DJANGO_SETTINGS_MODULE says otherwise."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.local")
    from django.core.management import execute_from_command_line  # noqa: PLC0415  as Django's own template

    from apps.appengine import start  # noqa: PLC0415  as the line above

    with start.in_one_sentence():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
