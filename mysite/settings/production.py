"""Production: App Engine or Cloud Run. Secrets come from Secret Manager; what is missing stops the start."""

import os

import environ
from django.core.exceptions import ImproperlyConfigured

from apps.appengine import secrets

# Before base reads the environment: SECRETS names variables and the pinned versions that fill them.
secrets.load(os.environ)

from .base import *  # noqa: F403  the settings below override the base
from .base import ALLOWED_HOSTS, PROJECT_ID, SECRET_KEY

env = environ.Env()

if not SECRET_KEY:
    raise ImproperlyConfigured(
        "DJANGO_SECRET_KEY is empty. Name it in SECRETS (app.yaml, env_variables) so that it is read from "
        "Secret Manager, or set it in the environment."
    )
if not ALLOWED_HOSTS and PROJECT_ID:
    # The service's own host, and version-dot-service hosts of the same application.
    ALLOWED_HOSTS = [
        f"{PROJECT_ID}.appspot.com",
        f".{env('APPSPOT_DOMAIN', default=f'{PROJECT_ID}.appspot.com')}",
    ]

# HTTPS only. Tasks, cron and warmup arrive as plain HTTP and do not follow redirects.
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^_tasks/", r"^_cron/", r"^_ah/", r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
