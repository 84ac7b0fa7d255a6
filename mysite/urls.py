"""Every route of the site. The platform's own come first: /_tasks, /_cron, /healthz, /readyz, /_ah/warmup."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("apps.appengine.urls")),
    path("", include("apps.accounts.urls")),
]

# webhooks: begin
urlpatterns += [
    path("", include("apps.api.urls")),
    path("", include("apps.dashboard.urls")),
]
# webhooks: end

if "debug_toolbar" in settings.INSTALLED_APPS:
    urlpatterns.append(path("__debug__/", include("debug_toolbar.urls")))
