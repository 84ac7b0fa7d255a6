from django.urls import path, register_converter

from apps.core import ids
from apps.dashboard.views import applications, first_message, messages, portal


class IdConverter:
    """An id as `apps.core.ids` makes them: nothing else reaches a view."""

    regex = rf"[a-z]+_[0-9A-Za-z]{{{ids.LENGTH}}}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(IdConverter, "id")

urlpatterns = [
    path("", applications.home, name="home"),
    path("portal", portal.portal, name="portal"),
    path("organizations/<id:organization_id>", applications.applications, name="applications"),
    path(
        "organizations/<id:organization_id>/first-message",
        first_message.of_organization,
        name="organization-first-message",
    ),
    path(
        "applications/<id:application_id>/first-message",
        first_message.of_application,
        name="application-first-message",
    ),
    path("applications/<id:application_id>/messages", messages.messages, name="messages"),
    path("applications/<id:application_id>/messages/<id:message_id>", messages.message, name="message"),
    path(
        "applications/<id:application_id>/messages/<id:message_id>/endpoints/<id:endpoint_id>/resend",
        messages.resend,
        name="resend",
    ),
]
