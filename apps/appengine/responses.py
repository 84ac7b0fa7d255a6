"""Plain answers to machines: Cloud Tasks, cron, probes."""

from django.http import HttpResponse


def logged(reason: str, *, status: int) -> HttpResponse:
    """An answer that says no more than `reason`, for a fault that the log holds already.

    Django would otherwise log every 4xx and 5xx once more.
    """
    response = HttpResponse(reason, status=status)
    response._has_been_logged = True  # type: ignore[attr-defined]  # the mark django.utils.log looks for
    return response
