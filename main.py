"""The entrypoint that App Engine, Cloud Run and the local runtime serve: `gunicorn main:app`."""

from mysite.wsgi import application as app

__all__ = ["app"]
