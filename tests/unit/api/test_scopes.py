"""docs/access.md says of application tokens what the code allows."""

import re
from pathlib import Path

from apps.api.scopes import FOR_TOKENS
from apps.api.urls import VIEWS

PAGE = (Path(__file__).resolve().parents[3] / "docs/access.md").read_text()
METHODS = ("get", "post", "put", "patch", "delete")


def test_the_page_says_what_a_token_may_do() -> None:
    rows = re.findall(
        r"^\| `([A-Z]+) /(\S+)` \| (.*) \|$", PAGE.partition("## What a token")[2], re.MULTILINE
    )
    told = {(path, method): set(capabilities.split(", ")) for method, path, capabilities in rows}
    assert told == {
        (path, method): {str(one) for one in scope}
        for path, methods in FOR_TOKENS.items()
        for method, scope in methods.items()
    }


def test_what_makes_or_ends_an_application_is_for_keys_only() -> None:
    closed = {
        (path, method.upper())
        for path, view in VIEWS.items()
        for method in METHODS
        if hasattr(view, method) and method.upper() not in FOR_TOKENS.get(path, {})
    }
    assert closed >= {
        ("api/v1/app", "GET"),
        ("api/v1/app", "POST"),
        ("api/v1/app/{app_id}", "PUT"),
        ("api/v1/app/{app_id}", "PATCH"),
        ("api/v1/app/{app_id}", "DELETE"),
        ("api/v1/app/{app_id}/msg", "POST"),
        ("api/v1/event-type", "POST"),
        ("api/v1/event-type/{event_type_name}", "DELETE"),
        ("api/v1/auth/app-portal-access/{app_id}", "POST"),
        ("api/v1/auth/app/{app_id}/expire-all", "POST"),
    }
