"""The platform as a Django app."""

from django.apps import AppConfig
from django.conf import settings


class AppEngineConfig(AppConfig):
    """App Engine, Cloud Tasks and their friends; knows no application."""

    name = "apps.appengine"
    label = "appengine"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "App Engine"

    def ready(self) -> None:
        """Register the system checks, set the tracer."""
        from apps.appengine import checks  # noqa: F401, PLC0415  importing registers, once settings are there
        from apps.appengine.spans.install import install  # noqa: PLC0415

        install(settings.TRACE_EXPORT, settings.TRACE_SAMPLE_RATE, settings.PROJECT_ID)
