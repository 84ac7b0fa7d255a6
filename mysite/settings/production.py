"""Production: App Engine or Cloud Run. What is missing or unsafe stops the start, in one sentence.

Secrets come from Secret Manager. While one is rotated two are valid at once
(docs/decisions/0023-production-settings.md).
"""

import os
from pathlib import Path

import environ

from apps.appengine import cloud_run, secrets, start

cloud_run.require_project(os.environ)
# Before base reads the environment: APP_YAML names a file to see the settings of before it is deployed,
# SECRETS names variables and the pinned versions that fill them.
start.as_app_yaml_says(os.environ, Path(__file__).resolve().parents[2])
secrets.load(os.environ)

from apps.appengine import hosts
from apps.core import encryption

from .base import *  # noqa: F403  the settings below override the base
from .base import (
    ALLOWED_HOSTS,
    DATABASES,
    FIELD_ENCRYPTION_KEYS,
    SECRET_KEY,
    SECRET_KEY_FALLBACKS,
    TASK_OPTIONS,
)

if not secrets.is_build(os.environ):
    start.require_key("DJANGO_SECRET_KEY", SECRET_KEY)
    for fallback in SECRET_KEY_FALLBACKS:
        start.require_key("DJANGO_SECRET_KEY_FALLBACKS", fallback)
    start.require_database(DATABASES["default"])
    start.require("FIELD_ENCRYPTION_KEYS", ",".join(FIELD_ENCRYPTION_KEYS))
    encryption.parse(tuple(FIELD_ENCRYPTION_KEYS))  # malformed ones are found here, not at their first use

if TASK_OPTIONS["TARGET"] == "http":  # Cloud Run, or a deployment to it that is being checked
    ALLOWED_HOSTS = cloud_run.hosts(
        ALLOWED_HOSTS, TASK_OPTIONS["URL"], environ.Env().list("CLOUD_RUN_TAGS", default=[])
    )
else:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, *hosts.appspot(os.environ)]

# HTTPS only. Tasks, cron and warmup arrive as plain HTTP and do not follow redirects. (/health and /warmup
# are answered before any redirect: health.ProbeMiddleware.)
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^_tasks/", r"^_cron/", r"^_ah/", r"^healthz$", r"^readyz?$"]
# Google's front ends set this header, whatever a client sent. So the site knows that it is asked over
# HTTPS, and forms need no CSRF_TRUSTED_ORIGINS.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# To be in browsers' preload list is for the owner of a domain to decide, and hard to take back.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
# `__Host-`: browsers take such a cookie only from this very host, over HTTPS. Another subdomain of a
# domain of your own can plant none.
SESSION_COOKIE_NAME = "__Host-sessionid"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrftoken"
CSRF_COOKIE_SECURE = True
