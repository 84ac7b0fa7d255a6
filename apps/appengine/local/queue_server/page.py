"""The queues and their tasks on a plain page, with buttons for what an operator does; JSON beside it.

All links are relative, so that a front door can show the page under a path of its own.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from aiohttp import web

from apps.appengine.local.plain_page import html, table

from .runner import Runner
from .store import Counts, Store, Task

SHOWN = 200  # tasks of a queue


class Page:
    """The handlers of the page. A POST must come from the page itself: its Origin equals the Host."""

    def __init__(self, store: Store, runners: Mapping[str, Runner]) -> None:
        self._store = store
        self._runners = runners

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[same_origin])
        app.router.add_get("/", self.index)
        app.router.add_get("/queues.json", self.as_json)
        app.router.add_get("/queues/{queue}", self.queue)
        app.router.add_post("/queues/{queue}/{action:pause|resume|purge}", self.change_queue)
        app.router.add_post("/queues/{queue}/tasks/{task}/{action:run|delete}", self.change_task)
        return app

    async def index(self, _: web.Request) -> web.Response:
        """All queues."""
        queues = await self._queues()
        return html("Queues", queue_table(queues, "queues/") + '<p><a href="queues.json">As JSON</a></p>')

    async def queue(self, request: web.Request) -> web.Response:
        """One queue and the tasks that are next."""
        name = self._runner(request).queue.name
        queues = [queue for queue in await self._queues() if queue["name"] == name]
        tasks = [task_facts(task) for task in await self._store.next_tasks(name, SHOWN)]
        up = '<p><a href="../">All queues</a></p>'
        return html(f"Queue {name}", up + queue_table(queues, "") + task_table(name, tasks))

    async def as_json(self, _: web.Request) -> web.Response:
        """The same figures for a program, with the tasks that are next."""
        queues = await self._queues()
        for queue in queues:
            queue["next_tasks"] = [
                task_facts(task) for task in await self._store.next_tasks(queue["name"], SHOWN)
            ]
        return web.json_response({"queues": queues})

    async def change_queue(self, request: web.Request) -> web.Response:
        """Pause, resume or purge, then back to the queue."""
        runner = self._runner(request)
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "pause": lambda: runner.set_state("PAUSED"),
            "resume": lambda: runner.set_state("RUNNING"),
            "purge": runner.purge,
        }
        await actions[request.match_info["action"]]()
        return web.HTTPSeeOther(f"../{runner.queue.name}")

    async def change_task(self, request: web.Request) -> web.Response:
        """Run or delete a task, then back to its queue. A task that is gone by now needs neither."""
        runner, task_id = self._runner(request), request.match_info["task"]
        if request.match_info["action"] == "run":
            await runner.run_now(task_id)
        else:
            await self._store.delete(runner.queue.name, task_id)
        return web.HTTPSeeOther(f"../../../{runner.queue.name}")

    def _runner(self, request: web.Request) -> Runner:
        if (name := request.match_info["queue"]) not in self._runners:
            raise web.HTTPNotFound(text=f"There is no queue '{name}' in queue.yaml.")
        return self._runners[name]

    async def _queues(self) -> list[dict[str, Any]]:
        counts = await self._store.counts()
        return [
            queue_facts(runner, counts.get(name, Counts())) for name, runner in sorted(self._runners.items())
        ]


@web.middleware
async def same_origin(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what another site's page posts; browsers name that site in Origin."""
    origins = {f"http://{request.host}", f"https://{request.host}"}
    if request.method == "POST" and request.headers.get("Origin") not in origins:
        raise web.HTTPForbidden(text="The Origin header does not equal the Host.")
    return await handler(request)


def queue_facts(runner: Runner, counts: Counts) -> dict[str, Any]:
    """What the page says of a queue."""
    queue, now = runner.queue, time.time()
    return {
        "name": queue.name,
        "state": runner.state,
        **counts._asdict(),
        "max_concurrent_requests": queue.max_concurrent_requests,
        "rate": queue.rate,
        "effective_rate": runner.bucket.effective_rate(now),
        "tokens": round(runner.bucket.level(now), 3),
        "bucket_size": queue.bucket_size,
    }


def task_facts(task: Task) -> dict[str, Any]:
    """What the page says of a task."""
    return {
        "name": task.id,
        "scheduled": datetime.fromtimestamp(task.due, UTC).isoformat(timespec="milliseconds"),
        "in_flight": task.leases > 0,
        "attempts": task.dispatches,
        "responses": task.responses,
        "last": task.last_error or "",
    }


def queue_table(queues: list[dict[str, Any]], links: str) -> str:
    """Queues as a table; `links` leads from the page to a queue's own."""
    head = ["Queue", "State", "Tasks", "Due now", "In flight", "Rate", "Tokens", "Actions"]
    return table("Queues", head, [queue_row(queue, links) for queue in queues])


def queue_row(queue: dict[str, Any], links: str) -> str:
    """A queue's cells."""
    name = escape(queue["name"])
    running = queue["state"] == "RUNNING"
    switch = "Pause" if running else "Resume"
    rate = f"{queue['effective_rate']:g}/s"
    if queue["effective_rate"] < queue["rate"]:
        rate += f" <span class=stopped>of {queue['rate']:g}/s, throttled</span>"
    cells = [
        f'<th scope=row><a href="{links}{name}">{name}</a></th>',
        f"<td{'' if running else ' class=stopped'}>{escape(queue['state'].lower())}</td>",
        f"<td>{queue['tasks']}</td><td>{queue['due']}</td>",
        f"<td>{queue['in_flight']} of {queue['max_concurrent_requests']}</td>",
        f"<td>{rate}</td>",
        f"<td>{queue['tokens']:.1f} of {queue['bucket_size']}</td>",
        f"<td class=fixed>{button(f'{links}{name}/{switch.lower()}', switch, name)} ",
        f"{button(f'{links}{name}/purge', 'Purge', name)}</td>",
    ]
    return "".join(cells)


def task_table(queue: str, tasks: list[dict[str, Any]]) -> str:
    """The tasks of a queue, those in flight first."""
    if not tasks:
        return "<p class=quiet>No tasks.</p>"
    head = ["Task", "Scheduled (UTC)", "Attempts", "Last response or error", "Actions"]
    rows = [task_row(queue, task) for task in tasks]
    note = f"<p class=quiet>The first {SHOWN}.</p>" if len(tasks) == SHOWN else ""
    return f"<h2>Tasks</h2>{table('Tasks', head, rows)}{note}"


def task_row(queue: str, task: dict[str, Any]) -> str:
    """A task's cells."""
    name, path = escape(task["name"]), f"{escape(queue)}/tasks/{escape(task['name'])}"
    scheduled = escape(task["scheduled"].removesuffix("+00:00").replace("T", " "))
    in_flight = " <span class=quiet>in flight</span>" if task["in_flight"] else ""
    return (
        f"<td class=name>{name}</td><td class=fixed>{scheduled}{in_flight}</td>"
        f"<td>{task['attempts']}</td><td>{escape(task['last'])}</td>"
        f"<td class=fixed>{button(f'{path}/run', 'Run', name)} "
        f"{button(f'{path}/delete', 'Delete', name)}</td>"
    )


def button(path: str, label: str, subject: str) -> str:
    """A form of one button, named for what it acts on."""
    return f'<form method=post action="{path}"><button aria-label="{label} {subject}">{label}</button></form>'
