"""The local stand-in for App Engine's cron service: runs the jobs of cron.yaml.

Requests go to the web process itself, past the front door, which is how they may carry
`X-Appengine-Cron`. When a job last ran is kept on disk; a run missed while nothing ran is caught up once.

    python -m apps.appengine.local.cron_clock --app unix:/tmp/x/web --page unix:/tmp/x/cron --state cron.json
"""
