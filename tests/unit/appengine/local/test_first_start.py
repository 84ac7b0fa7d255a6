import json
from io import StringIO
from pathlib import Path

from django.core.management import call_command
from django.test import override_settings


def show_folder(home: Path) -> dict[str, str]:
    return {"folder": home.name}


def answer() -> dict[str, str]:
    out = StringIO()
    call_command("local_first_start", stdout=out)
    shown: dict[str, str] = json.loads(out.getvalue())
    return shown


def test_the_hook_is_called_with_the_folder_of_the_run() -> None:
    with override_settings(LOCAL_FIRST_START=f"{__name__}.show_folder", LOCAL_HOME="/somewhere/home"):
        assert answer() == {"folder": "home"}


def test_without_a_hook_there_is_nothing_to_show() -> None:
    with override_settings(LOCAL_FIRST_START=""):
        assert answer() == {}
