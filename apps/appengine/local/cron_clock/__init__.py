"""The local stand-in for App Engine's cron service, or for Cloud Scheduler: runs the jobs of cron.yaml.

`caller` has what sets the two apart. When a job last ran is kept on disk; a run missed while nothing ran is
caught up once.

    python -m apps.appengine.local.cron_clock --app unix:/tmp/x/web --page unix:/tmp/x/cron --state cron.json
"""
