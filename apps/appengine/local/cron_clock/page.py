"""The cron clock's page: every job, when it runs, how its last run went, and a button to run it now."""

from dataclasses import asdict
from html import escape
from typing import Any

from aiohttp import hdrs, web
from yarl import URL

from apps.appengine.local.plain_page import html, table

from .clock import Clock, Entry

CLOCK = web.AppKey("clock", Clock)
SAID = """<p>The jobs of cron.yaml, as the local clock runs them. Times are UTC.
<a href="jobs.json">As JSON</a></p>"""
EMPTY = "<p class=quiet>cron.yaml has no jobs yet.</p>"
HEAD = ["Job", "Schedule", "Next run", "Last run", "Outcome", "Action"]
ROW = """<th scope=row>{url}<small>{description}</small></th><td>{schedule}<small>{timezone}</small></td>
<td>{next_run}</td><td>{last_run}</td><td>{outcome}</td>
<td class=fixed><form method="post" action="run?{query}"><button aria-label="Run now {url}">Run now</button>
</form></td>"""


def application(clock: Clock) -> web.Application:
    """The page at /, the same as JSON at /jobs.json, and POST /run?url=... to run a job at once."""
    application = web.Application()
    application[CLOCK] = clock
    application.router.add_get("/", show)
    application.router.add_get("/jobs.json", show_json)
    application.router.add_post("/run", run)
    return application


async def show(request: web.Request) -> web.Response:
    rows = [row(entry) for entry in request.app[CLOCK].entries]
    return html("Cron", SAID + (table("Jobs", HEAD, rows) if rows else EMPTY))


def row(entry: Entry) -> str:
    shown = described(entry)
    for name in ("next_run", "last_run"):
        shown[name] = (shown[name] or "never")[:19].replace("T", " ")  # to the second; the zone is said above
    cells = {name: escape(str(value or "")) for name, value in shown.items()}
    return ROW.format(**cells, query=escape(URL.build(query={"url": entry.job.url}).raw_query_string))


async def show_json(request: web.Request) -> web.Response:
    return web.json_response([described(entry) for entry in request.app[CLOCK].entries])


def described(entry: Entry) -> dict[str, Any]:
    job, last = entry.job, entry.last
    return {
        "url": job.url,
        "description": job.description,
        "schedule": job.schedule.text,
        "timezone": job.timezone,
        "next_run": entry.next_run.isoformat(timespec="seconds"),
        "last_run": last and last.finished,
        "outcome": "running" if entry.running.locked() else last and last.outcome,
    }


async def run(request: web.Request) -> web.Response:
    """Runs the job and answers when it ended: a browser with the page, a program with the run."""
    if not same_origin(request):
        return web.Response(status=403, text="Only this page may start a job.\n")
    url = request.query.get("url")
    entry = next((entry for entry in request.app[CLOCK].entries if entry.job.url == url), None)
    if entry is None:
        return web.Response(status=404, text="cron.yaml has no such job.\n")
    if entry.running.locked():
        return web.Response(status=409, text="The job is running.\n")
    last = await request.app[CLOCK].run(entry)
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        raise web.HTTPSeeOther("./")
    return web.json_response(asdict(last))


def same_origin(request: web.Request) -> bool:
    """Browsers name the page a POST comes from; programs send no Origin."""
    origin = request.headers.get(hdrs.ORIGIN)
    return origin in {None, f"http://{request.host}", f"https://{request.host}"}
