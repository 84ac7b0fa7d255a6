"""Cron: the names in cron.yaml, and what each one runs. `manage.py check` proves that they agree."""

JOBS: dict[str, str] = {}

# webhooks: begin (docs/start-your-own.md deletes from here ...)
JOBS |= {
    "background-tasks": "apps.deliveries.advance.redrive",
    "sweep": "apps.deliveries.sweep.sweep",
}
# webhooks: end (... to here)
