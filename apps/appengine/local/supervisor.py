"""Starts the parts of a local run in order, keeps them running, and stops them in order."""

import asyncio
import json
import signal
from http import HTTPStatus

import aiohttp

from . import datastore_emulator, preflight
from .console import Console
from .processes import Child, run_once
from .programs import Run

ASK_AGAIN = 0.1  # seconds between two questions whether something is ready
PATIENCE = 30.0  # seconds without an answer before that is said, and said again
READY_REQUEST = aiohttp.ClientTimeout(total=10)


class StartFailedError(Exception):
    """A step of the start failed; the message says which."""


class Supervisor:
    """One local run from start to stop."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run = run
        self._console = console
        self._children: dict[str, Child] = {}
        self._stop = asyncio.Event()
        self._run_env = run.home / "run.env"

    async def supervise(self) -> int:
        """Run until a signal; returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_ctrl_c)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await stopping
            self._console.say("stopping (ctrl-C once more kills)")
        except (StartFailedError, preflight.RefusedError, datastore_emulator.EmulatorMissingError) as error:
            self._console.say(str(error))
            return 1
        else:
            return 0
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._stop_all()

    def _on_ctrl_c(self) -> None:
        """The second one kills. Not so SIGTERM, which comes twice when a group gets it: make sends it on."""
        if not self._stop.is_set():
            self._stop.set()
            return
        for child in self._children.values():
            child.kill()

    async def _start(self) -> None:
        run = self._run
        if run.starts_datastore:
            self._children["datastore"] = Child(run.datastore(), self._console)
        if run.cloud_run:
            self._children["issuer"] = Child(run.issuer(), self._console)
            await self._wait_for(f"127.0.0.1:{run.issuer_port}", "issuer")
        if run.starts_queue_server:
            self._children["queues"] = Child(run.queue_server(), self._console)
        self._run_env.write_text(run.shared())
        await asyncio.gather(*map(self._manage, preparations(run)))
        if run.starts_datastore:  # commands may use it; only /ready judges one that was started elsewhere
            await self._wait_for(run.environment["DATASTORE_EMULATOR_HOST"], "Datastore")
        self._children["web"] = Child(run.web(), self._console)
        self._children["door"] = Child(run.front_door(), self._console)
        self._children["viewer"] = Child(run.datastore_viewer(), self._console)
        titles = json.loads(await self._manage("local_first_start"))
        await self._wait_for_page("/ready")
        self._children["cron"] = Child(run.cron_clock(), self._console)
        for name in run.pages():
            await self._wait_for_page(f"/_local/{name}/")
        self._console.show(ready_line(run, titles))

    async def _manage(self, command: str) -> str:
        """Run a management command: the last line it printed. Raises StartFailedError."""
        code, printed = await run_once(self._run.manage(*command.split()), self._console)
        *lines, last = printed.splitlines() or [""]
        for line in [*lines, last] if code else lines:
            self._console.log("manage", line)
        if code:
            raise StartFailedError(f"`manage.py {command}` failed; what it says is above.")
        return last

    async def _wait_for(self, address: str, name: str) -> None:
        patience = Patience(self._console)
        while not await listens(address):
            await patience.wait(f"the {name} at {address} does not answer yet")

    async def _wait_for_page(self, path: str) -> None:
        url, patience = f"http://127.0.0.1:{self._run.port}{path}", Patience(self._console)
        async with aiohttp.ClientSession(timeout=READY_REQUEST) as session:
            while fault := await what_is_not_ready(session, url):
                await patience.wait(fault)

    async def _stop_all(self) -> None:
        """Those that bring in work first, the Datastore last: requests under way may still write."""
        for listening in self._run.listening:
            listening.close()
        for names in [("cron", "door", "viewer"), ("queues",), ("web",), ("datastore", "issuer")]:
            await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))
        self._run_env.unlink(missing_ok=True)


def preparations(run: Run) -> list[str]:
    """The management commands that the web process needs done, in any order."""
    collects = run.cloud_run or run.app.static_handlers
    collect = ["collectstatic --no-input --verbosity 0"] if collects else []
    return ["migrate --no-input --verbosity 0", *collect]


class Patience:
    """Waits between two questions, and says now and then what is being waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._since = asyncio.get_running_loop().time()

    async def wait(self, fault: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._since > PATIENCE:
            self._console.say(f"still waiting: {fault}")
            self._since = now
        await asyncio.sleep(ASK_AGAIN)


async def listens(address: str) -> bool:
    """Whether somebody accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def what_is_not_ready(session: aiohttp.ClientSession, url: str) -> str:
    """What the page answers instead of 200, in a sentence; empty when all is well."""
    try:
        async with session.get(url, headers={"Host": "localhost"}) as answer:
            text = " ".join((await answer.text()).split())
            return "" if answer.status == HTTPStatus.OK else f"{url} answers {answer.status}: {text[:500]}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{url} does not answer ({type(error).__name__})"


def ready_line(run: Run, titles: dict[str, str]) -> str:
    """Where everything is, on one line."""
    here = f"http://localhost:{run.port}"
    shown = [f"{title} {text}" for title, text in titles.items()]
    pages = ", ".join(f"{name} {here}/_local/{name}/" for name in run.pages())
    return "  ".join([f"ready: {here}", *shown, f"({pages})"])
