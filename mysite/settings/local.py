"""A developer's machine: `make run`, or plain `manage.py runserver` with a .env file.

`make run` writes the addresses of what it started to $LOCAL_HOME/run.env, so that `manage.py shell`
and `runserver` beside it talk to the same Datastore and queues.
"""

import os
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parents[2]
LOCAL_HOME = Path(os.environ.get("LOCAL_HOME") or BASE_DIR / ".local")
for file in (BASE_DIR / ".env", LOCAL_HOME / "run.env"):
    if file.exists():
        environ.Env.read_env(file)
os.environ.setdefault("GOOGLE_CLOUD_PROJECT", "local")
# Where the emulator listens by default: without one, what needs no Datastore works, and nothing here ever
# asks for credentials or writes to Google's.
os.environ.setdefault("DATASTORE_EMULATOR_HOST", "127.0.0.1:8081")
os.environ.setdefault("SQLITE_PATH", str(LOCAL_HOME / "db.sqlite3"))
os.environ.setdefault("MEDIA_ROOT", str(LOCAL_HOME / "media"))
LOCAL_HOME.mkdir(parents=True, exist_ok=True)

from .base import *  # noqa: F403  the settings below override the base
from .base import FIELD_ENCRYPTION_KEYS, INSTALLED_APPS, MIDDLEWARE, SECRET_KEY, env

DEBUG = env.bool("DEBUG", default=True)
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", ".localhost", *env.list("ALLOWED_HOSTS", default=[])]
# Known to everybody, so good for nothing but a laptop: production refuses to start without its own.
SECRET_KEY = SECRET_KEY or "local-only-key-never-used-in-production-000000000000"
FIELD_ENCRYPTION_KEYS = FIELD_ENCRYPTION_KEYS or ["local:bG9jYWwtb25seS1rZXktbmV2ZXItaW4tcHJvZHVjdGk="]

# The certificates of `make run`'s own issuer. Only here: nothing in the environment makes production trust
# another issuer than Google.
if oidc_certs_url := env("OIDC_CERTS_URL", default=""):
    OIDC_CERTS_URL = oidc_certs_url

# Called once the first `make run` has migrated: makes what a developer signs in with.
LOCAL_FIRST_START = "apps.accounts.first_start.first_start"

if env.bool("DEBUG_TOOLBAR", default=False):
    INSTALLED_APPS = [*INSTALLED_APPS, "debug_toolbar"]
    MIDDLEWARE = ["debug_toolbar.middleware.DebugToolbarMiddleware", *MIDDLEWARE]
    INTERNAL_IPS = ["127.0.0.1", "::1"]

# webhooks: begin
# A receiver under development listens on this machine.
WAYBILL_ALLOW_PRIVATE_ENDPOINTS = env.bool("WAYBILL_ALLOW_PRIVATE_ENDPOINTS", default=True)
# webhooks: end
