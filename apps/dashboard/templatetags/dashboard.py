"""How the pages write times, statuses and long text."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.deliveries.models import Delivery

register = template.Library()

SYMBOLS = {
    Delivery.PENDING: "…",
    Delivery.DELIVERED: "✓",
    Delivery.FAILED: "✕",
    Delivery.HELD: "‖",
    Delivery.CANCELLED: "⊘",
}


@register.simple_tag
def timestamp(at: datetime) -> SafeString:
    """`22 Nov 2025 15:08:03 UTC`, readable by machines too."""
    at = at.astimezone(UTC)
    machine, person = at.isoformat(timespec="milliseconds"), f"{at:%-d %b %Y %H:%M:%S} UTC"
    return format_html('<time datetime="{}">{}</time>', machine, person)


@register.simple_tag
def status(name: str, count: int | None = None) -> SafeString:
    """A delivery's status in a word, or how many have it, with a symbol that needs no colour."""
    words = name if count is None else f"{count} {name}"
    symbol = SYMBOLS.get(name, "?")
    return format_html(
        '<span class="status {}"><span class="symbol" aria-hidden="true">{}</span> {}</span>',
        name,
        symbol,
        words,
    )


@register.filter
def reason_phrase(status_code: int) -> str:
    """`Not Found` for 404; nothing for codes that RFC 9110 does not know."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


@register.inclusion_tag("dashboard/_excerpt.html")
def excerpt(text: str, most: int, label: str) -> dict[str, Any]:
    """The first `most` characters of a text, and how many there are. `label` is for screen readers."""
    return {"text": text[:most], "most": most, "length": len(text), "label": label}
