"""One base for every target, driven by the environment.

`production` and `local` add only what differs. Names follow the usual Django-on-App-Engine guides
(DB_HOST, INSTANCE_CONNECTION_NAME, REDIS_HOST, STATIC_BUCKET, ...). Nothing here opens anything by
default: with an empty environment the site refuses tasks, cron, hosts and credentials.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.utils.csp import CSP

env = environ.Env()


def secret(name: str) -> str:
    """The variable as it is: django-environ takes a value that begins with "$" for the name of another."""
    return os.environ.get(name, "")


BASE_DIR = Path(__file__).resolve().parents[2]
PROJECT_ID: str = env("GOOGLE_CLOUD_PROJECT", default="")

DEBUG = False
SECRET_KEY = secret("DJANGO_SECRET_KEY")
# The key before this one, as it is stored: what it signed stays valid while the key is rotated.
SECRET_KEY_FALLBACKS = list(filter(None, [secret("DJANGO_SECRET_KEY_FALLBACKS")]))
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[])
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
APPEND_SLASH = False

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "apps.appengine",
    "apps.core",
    "apps.accounts",
]

MIDDLEWARE = [
    "apps.appengine.trace.TraceMiddleware",
    "apps.appengine.version.VersionMiddleware",
    "apps.appengine.health.ProbeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "apps.appengine.ndb_context.NdbContextMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.core.context_processors.site",
            ]
        },
    }
]

SITE_NAME = "Django"

# Accounts
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# SQL: Cloud SQL over its socket, PostgreSQL over TCP, or SQLite
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def database() -> dict[str, Any]:
    """Cloud SQL where INSTANCE_CONNECTION_NAME is set, PostgreSQL where DB_HOST is, else SQLite.

    SQLite takes the write lock when a transaction begins: two writers then wait for each other
    instead of failing when a reader becomes a writer.
    """
    host = env("DB_HOST", default="")
    if instance := env("INSTANCE_CONNECTION_NAME", default=""):
        host = f"{env('CLOUD_SQL_SOCKETS', default='/cloudsql')}/{instance}"
    if host:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": host,
            "PORT": env("DB_PORT", default=""),
            "NAME": env("DB_NAME"),
            "USER": env("DB_USER"),
            "PASSWORD": secret("DB_PASSWORD"),
            # Each thread keeps its connection for 5 minutes, and looks before a request whether it lives.
            "CONN_MAX_AGE": 300,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5, **tls(host), **time_limits()},  # seconds
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": env("SQLITE_PATH", default=str(BASE_DIR / "db.sqlite3")),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def tls(host: str) -> dict[str, str]:
    """TLS to another machine. A socket, or a proxy on this machine, brings its own."""
    if host.startswith("/") or host in LOOPBACK:
        return {}
    return {"sslmode": env("DB_SSLMODE", default="require")}


def time_limits() -> dict[str, str]:
    """DB_TIMEOUT in seconds, for a statement and for a transaction that its client has forgotten.

    wsgi.py sets it for servers, where a query that waits for a lock holds a thread. Commands have none:
    a migration takes what it takes.
    """
    if not (seconds := env.int("DB_TIMEOUT", default=0)):
        return {}
    limits = {"statement_timeout": seconds, "idle_in_transaction_session_timeout": seconds}
    return {"options": " ".join(f"-c {name}={value}s" for name, value in limits.items())}


LOOPBACK = ("localhost", "127.0.0.1", "::1")
DATABASES = {"default": database()}
# What the server allows (its flag max_connections), for `check --deploy`; 25 on the smallest of Cloud SQL.
DB_MAX_CONNECTIONS: int = env.int("DB_MAX_CONNECTIONS", default=25)

# Cache: Memorystore where REDIS_HOST is set. Losing it loses nothing.
REDIS_HOST: str = env("REDIS_HOST", default="")
REDIS_PORT: int = env.int("REDIS_PORT", default=6379)
REDIS_DB: int = env.int("REDIS_DB", default=0)
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{REDIS_HOST}:{REDIS_PORT}/{REDIS_DB}",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": 1,  # seconds: a lost cache must not hold a request up
            "SOCKET_TIMEOUT": 1,
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        },
    }
    if REDIS_HOST
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
# Without Redis every process would remember sessions of its own, also ones that were signed out elsewhere.
SESSION_ENGINE = "apps.core.sessions" if REDIS_HOST else "django.contrib.sessions.backends.db"

# Files: buckets where they are named, else folders
# Static files are collected to STATIC_ROOT on every target, with hashes in their names. Who serves them: the
# bucket that STATIC_BUCKET names, where a deploy copies that folder; without one App Engine's handlers
# (app.yaml), and on Cloud Run the process itself.
STATIC_BUCKET: str = env("STATIC_BUCKET", default="")
STATIC_URL = f"https://storage.googleapis.com/{STATIC_BUCKET}/" if STATIC_BUCKET else "/static/"
STATIC_ROOT = BASE_DIR / "static_root"
MEDIA_ROOT = Path(env("MEDIA_ROOT", default=str(BASE_DIR / "media")))


def storage(bucket: str, otherwise: str, **options: Any) -> dict[str, Any]:
    """django-storages on Cloud Storage for a named bucket, else a Django storage class.

    No object gets an access list of its own: buckets are uniform, and private unless IAM says otherwise.
    """
    if not bucket:
        return {"BACKEND": otherwise}
    return {
        "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
        "OPTIONS": {"bucket_name": bucket, "project_id": PROJECT_ID or None, **options},
    }


MEDIA_BUCKET: str = env("MEDIA_BUCKET", default="")
STORAGES = {
    "default": storage(
        MEDIA_BUCKET,
        "django.core.files.storage.FileSystemStorage",
        # Links are signed by the service account itself, over the IAM Credentials API: there is no key
        # file. It needs roles/iam.serviceAccountTokenCreator on itself.
        iam_sign_blob=True,
        expiration=timedelta(hours=1),
        file_overwrite=False,
    ),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
if env("K_SERVICE", default="") and not STATIC_BUCKET:  # Cloud Run: nobody stands before the process
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.security.SecurityMiddleware") + 1,
        "whitenoise.middleware.WhiteNoiseMiddleware",
    )
# What was collected and nothing else, also with DEBUG; as long as app.yaml's handler lets it be kept, and
# names with a hash for ever.
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_MAX_AGE = 3600

# Tasks: Cloud Tasks behind django.tasks. Queue names equal queue.yaml (`manage.py check` proves it).
# TASKS_TARGET is "appengine" or "http"; unset, every task and cron request is refused.
TASK_OPTIONS = {
    "TARGET": env("TASKS_TARGET", default=""),
    "PROJECT": PROJECT_ID,
    "LOCATION": env("CLOUD_TASKS_LOCATION", default=""),
    # The HTTP target only (Cloud Run): where tasks are sent, and whose token they must carry.
    "URL": env("TASKS_URL", default=""),
    "AUDIENCE": env("TASKS_AUDIENCE", default=""),
    "SERVICE_ACCOUNT": env("TASKS_SERVICE_ACCOUNT", default=""),
}
TASK_QUEUES = ["default"]
TASKS = {
    "default": {
        "BACKEND": "apps.appengine.tasks.backend.CloudTasksBackend",
        "QUEUES": TASK_QUEUES,
        "OPTIONS": TASK_OPTIONS,
    },
    # The same engine with results kept in SQL, for background tasks an operator looks at.
    "recorded": {
        "BACKEND": "apps.appengine.tasks.recorded.RecordedCloudTasksBackend",
        "QUEUES": TASK_QUEUES,
        "OPTIONS": TASK_OPTIONS,
    },
}
CRON_JOBS = "mysite.cron.JOBS"

# Time, language
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

# Security
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True


def sources(*buckets: str) -> list[str]:
    """The site itself and what is in the named buckets: a path that ends with "/" covers what is under it."""
    return [CSP.SELF, *(f"https://storage.googleapis.com/{bucket}/" for bucket in buckets if bucket)]


# Pages take everything from files of the site's own, nothing inline; pictures and films from media too.
SECURE_CSP: dict[str, list[str]] = {
    "default-src": sources(STATIC_BUCKET),
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
if MEDIA_BUCKET:
    SECURE_CSP |= dict.fromkeys(("img-src", "media-src"), sources(STATIC_BUCKET, MEDIA_BUCKET))

LOGGING_CONFIG = "apps.appengine.logs.configure"
LOGGING = {"version": 1}  # not empty, or Django would not call it

# Where spans are sent (the URL of an OTLP receiver; nowhere when empty), and the part of new traces that
# is sampled. Of a trace that a caller began, the caller decides.
TRACE_EXPORT: str = env("TRACE_EXPORT", default="")
TRACE_SAMPLE_RATE: float = env.float("TRACE_SAMPLE_RATE", default=0.01)

# Field encryption: "keyid:base64 of 32 bytes", separated by commas; the first one writes, all read.
FIELD_ENCRYPTION_KEYS = [
    entry.strip() for entry in secret("FIELD_ENCRYPTION_KEYS").split(",") if entry.strip()
]

# What Secret Manager has to give, beside the password of a PostgreSQL: `check --deploy` asks for each.
SECRET_VARIABLES = ["DJANGO_SECRET_KEY", "FIELD_ENCRYPTION_KEYS"]

# webhooks: begin (docs/start-your-own.md deletes from here ...)
INSTALLED_APPS += ["rest_framework", "apps.applications", "apps.deliveries", "apps.api", "apps.dashboard"]
INSTALLED_APPS += ["drf_spectacular_sidecar"]  # Swagger UI's static files, for /api/docs
SITE_NAME = "Waybill"
MIDDLEWARE.insert(1, "apps.api.errors.json_errors")
TASK_QUEUES += ["deliveries", "suspects"]
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.api.parsers.JsonParser"],
    "EXCEPTION_HANDLER": "apps.api.errors.handle",
    "UNICODE_JSON": False,  # a payload may hold what only an escape can express
    "UNAUTHENTICATED_USER": None,
}
WAYBILL_RETRY_SCHEDULE = [
    timedelta(seconds=float(seconds))
    for seconds in env.list(
        "WAYBILL_RETRY_SCHEDULE", default=["0", "5", "300", "1800", "7200", "18000", "36000", "36000"]
    )
]
# What the names of the three signature headers begin with: webhook (Standard Webhooks), svix, or both.
WAYBILL_SIGNATURE_HEADERS: list[str] = env.list("WAYBILL_SIGNATURE_HEADERS", default=["webhook"])
# Large payloads are in a bucket of their own, whose lifecycle deletes what no message can name any more.
if payloads_bucket := env("PAYLOADS_BUCKET", default=""):
    STORAGES["payloads"] = storage(payloads_bucket, otherwise="")
WAYBILL_ALLOW_PRIVATE_ENDPOINTS: bool = env.bool("WAYBILL_ALLOW_PRIVATE_ENDPOINTS", default=False)
# webhooks: end (... to here)
