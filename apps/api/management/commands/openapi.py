"""`manage.py openapi`: writes the OpenAPI document after what the code says. Development only."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.api.openapi.views import FILE


class Command(BaseCommand):
    help = "Write apps/api/openapi/openapi.json."

    def handle(self, *_: Any, **__: Any) -> None:
        from apps.api.openapi import document  # noqa: PLC0415  a development requirement makes it

        FILE.write_text(document.text())
        self.stdout.write(f"wrote {FILE}")
