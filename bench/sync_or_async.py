"""What an async view costs under gunicorn's gthread worker: the figure of docs/decisions/0003.

    .venv/bin/python bench/sync_or_async.py

Serves the same trivial view twice from one worker, `def` and `async def`, and counts the worker's CPU
time a request, in turns so that a busy machine disturbs both alike. Prints milliseconds and the ratio.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = """
import os
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(DEBUG=False, SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
from django.core.wsgi import get_wsgi_application

def answer():
    return HttpResponse(str(sum(os.times()[:2])))

def sync_view(request):
    return answer()

async def async_view(request):
    return answer()

urlpatterns = [path("sync", sync_view), path("async", async_view)]
app = get_wsgi_application()
"""
REQUESTS = 1000
ROUNDS = 5


def cpu_s(connection: http.client.HTTPConnection, path: str) -> float:
    """The worker's CPU seconds so far, as the view itself reads them."""
    connection.request("GET", path)
    return float(connection.getresponse().read())


def cost_ms(connection: http.client.HTTPConnection, path: str) -> float:
    """CPU milliseconds a request, over REQUESTS requests one after another."""
    before = cpu_s(connection, path)
    for _ in range(REQUESTS - 1):
        cpu_s(connection, path)
    return (cpu_s(connection, path) - before) * 1000 / REQUESTS


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "trivial.py").write_text(APP)
        command = ["-m", "gunicorn", "--worker-class=gthread", "--workers=1", "--threads=32"]
        command += ["--keep-alive=60", "--log-level=warning", f"--bind=127.0.0.1:{port}", "trivial:app"]
        server = subprocess.Popen([sys.executable, *command], cwd=folder, env={"PATH": os.environ["PATH"]})
        try:
            measure(port)
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int) -> None:
    """Return once the server listens."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("gunicorn did not start within 10 s")


def measure(port: int) -> None:
    wait_for(port)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for path in ("/sync", "/async"):  # the first requests import and connect
        cost_ms(connection, path)
    rounds = [(cost_ms(connection, "/sync"), cost_ms(connection, "/async")) for _ in range(ROUNDS)]
    sync, asynchronous = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    print(f"sync {sync:.2f} ms, async {asynchronous:.2f} ms CPU a request: {asynchronous / sync:.1f} times")


if __name__ == "__main__":
    main()
