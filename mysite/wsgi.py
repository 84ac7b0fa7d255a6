"""Production settings unless told otherwise: a missing variable must never open a debug site."""

import os

from django.core.wsgi import get_wsgi_application

from apps.appengine import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.production")
# Seconds for an SQL statement: a server has 32 threads, and one that waits for a lock holds one of them.
os.environ.setdefault("DB_TIMEOUT", "30")

with start.in_one_sentence():
    application = get_wsgi_application()
