"""`make bench`: messages through a whole local run, with the CPU time each of its processes took for one.

Starts the service as `make run` does, posts MESSAGES (1000) messages of 1 KB from 8 threads to one
endpoint, and waits until all have arrived. Rates depend on the machine; CPU per message and the shares
of the processes are what to compare, within one run.
"""

import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.functional.system import System, add_endpoint, children, running, wait_until

MESSAGES = int(os.environ.get("MESSAGES", "1000"))
PAYLOAD = {"pad": "x" * 1000}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Receiver(ThreadingHTTPServer):
    """Counts the messages that arrive."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.arrived: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                receiver.arrived.add(self.headers["webhook-id"])
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def cpu_s(system: System) -> dict[str, float]:
    """CPU seconds so far of each part of the run."""
    parts = {
        "web": system.web_workers(),
        "queue server": system.pids("queue_server"),
        "front door": system.pids("front_door"),
        "datastore": system.pids("CloudDatastore"),
    }
    return {name: sum(map(cpu_of, pids)) for name, pids in parts.items()}


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S + sum(map(cpu_of, children(pid)))


def post(system: System, application_id: str, count: int) -> None:
    def one(_: int) -> None:
        system.call("POST", f"/app/{application_id}/msg", {"eventType": "bench", "payload": PAYLOAD})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def main() -> None:
    with tempfile.TemporaryDirectory() as home, running(Path(home)) as system:
        receiver = Receiver()
        application_id, _ = add_endpoint(system, f"http://127.0.0.1:{receiver.server_port}")
        post(system, application_id, 50)
        assert wait_until(lambda: len(receiver.arrived) == 50, 60)
        before, started = cpu_s(system), time.monotonic()
        post(system, application_id, MESSAGES)
        accepted_s = time.monotonic() - started
        assert wait_until(lambda: len(receiver.arrived) == 50 + MESSAGES, 300)
        delivered_s = time.monotonic() - started
        after = cpu_s(system)
    accepted, delivered = MESSAGES / accepted_s, MESSAGES / delivered_s
    print(f"{MESSAGES} messages: {accepted:.0f}/s accepted, {delivered:.0f}/s delivered")
    for name in before:
        print(f"  {name:13} {(after[name] - before[name]) / MESSAGES * 1000:6.1f} ms of CPU a message")


if __name__ == "__main__":
    main()
