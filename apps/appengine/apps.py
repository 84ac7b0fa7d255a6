"""The platform as a Django app."""

from django.apps import AppConfig


class AppEngineConfig(AppConfig):
    """App Engine, Cloud Tasks and their friends; knows no application."""

    name = "apps.appengine"
    label = "appengine"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "App Engine"

    def ready(self) -> None:
        """Register the system checks."""
        from apps.appengine import checks  # noqa: F401, PLC0415  importing registers, once settings are there
