"""The local stand-in for accounts.google.com: keys that sign OIDC tokens, and the page of their certificates.

`TASKS_TARGET=http make run` starts it. The queue server and the cron clock sign with its keys, the app
verifies with what the page shows, as it does with Google's.

    python -m apps.appengine.local.issuer --keys /tmp/x/keys --port 20001
"""
