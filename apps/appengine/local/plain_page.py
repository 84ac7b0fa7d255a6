"""What the pages of the local runtime share: one look, tables that a screen reader can name, no script."""

from html import escape

from aiohttp import web

CSS = """
:root { color-scheme: light dark; --line: light-dark(#d8dce2, #3a4048); --quiet: light-dark(#59616d, #a3acb8);
        --warn: light-dark(#a03000, #ffb38a); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: light-dark(#1c2025, #e8eaed); background: light-dark(#fff, #16191d); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0;
         border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; }
caption { position: absolute; clip-path: inset(50%); white-space: nowrap; }
thead th, .fixed { white-space: nowrap; }
.quiet { color: var(--quiet); }
.stopped { color: var(--warn); font-weight: 600; }
.name { overflow-wrap: anywhere; font: .85rem/1.5 ui-monospace, monospace; } .long { min-width: 16rem; }
form { display: inline; } button { font: inherit; padding: .1rem .6rem; cursor: pointer; }
small { color: var(--quiet); display: block; font-weight: normal; } small + button { margin-top: .5rem; }
label { display: block; font-weight: 600; }
textarea, pre { font: .85rem/1.5 ui-monospace, monospace; }
textarea { box-sizing: border-box; display: block; width: 100%; margin: .2rem 0 .5rem; padding: .4rem; }
pre { padding: .6rem; border: 1px solid var(--line); overflow-x: auto; }
"""


def table(caption: str, head: list[str], rows: list[str]) -> str:
    """Rows of finished cells under their headers; wide tables scroll by themselves."""
    headers = "".join(f"<th scope=col>{text}</th>" for text in head)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class=wide tabindex=0 role=region aria-label="{caption}">'
        f"<table><caption>{caption}</caption><thead><tr>{headers}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def html(title: str, body: str, status: int = 200) -> web.Response:
    """A whole page that runs no script and cannot be framed."""
    text = (
        f'<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{escape(title)}</title><style>{CSS}</style><h1>{escape(title)}</h1>{body}</html>"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
