"""The local stand-in for App Engine's front end: the only part that listens where browsers can reach it.

It cleans the headers of every request, serves the static handlers of app.yaml, keeps to the size limit
and passes the rest on to the web process. With --cloud-run it stands for Cloud Run's front end, which removes
no such header, serves no files and keeps some paths to itself. Under /_local/ it shows the pages of the
local runtime.

    python -m apps.appengine.local.front_door --fd 3 --app unix:/tmp/x/web --page queues=unix:/tmp/x/queues
"""
