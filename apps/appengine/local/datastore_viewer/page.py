"""The pages: what there is, the answer to a query, one entity. All links are relative."""

import base64
import binascii
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc.aio
from aiohttp import web
from google.protobuf.message import DecodeError

from apps.appengine.local.datastore.messages import Key, Query, types
from apps.appengine.local.plain_page import html, table

from . import gql, values
from .client import Client

ROWS = 50  # of a page
MOST_ROWS = 500  # of a LIMIT
FIXED = 30  # characters that stay on one line
MORE = (
    types.QueryResultBatch.MoreResultsType.NOT_FINISHED,
    types.QueryResultBatch.MoreResultsType.MORE_RESULTS_AFTER_LIMIT,
)
NOTHING = "<p class=quiet>No entities yet. They are here as soon as a request or a task puts one.</p>"
NO_INDEXES = "<p class=quiet>There is no index.yaml. A query that needs an index says which.</p>"
ALL_OF = "SELECT * FROM"
EXAMPLE = "SELECT * FROM Kind WHERE property = 'value' ORDER BY other DESC LIMIT 20"


class Page:
    """The handlers. Nothing here writes."""

    def __init__(self, client: Client, index_yaml: Path) -> None:
        self._client = client
        self._index_yaml = index_yaml

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/", self.index)
        app.router.add_get("/query", self.query)
        app.router.add_get("/entity", self.entity)
        return app

    async def index(self, request: web.Request) -> web.Response:
        """The box, the kinds, the namespaces and the indexes."""
        namespace = request.query.get("namespace", "")
        try:
            kinds = await self._names("__kind__", namespace)
            namespaces = await self._names("__namespace__", "")
            listed = kind_list(kinds, namespace) + namespace_list(namespaces, namespace)
        except grpc.aio.AioRpcError as error:
            listed = refusal(error)
        here = f" of namespace {escape(namespace)}" if namespace else ""
        about = (
            f"<p class=quiet>Project {escape(self._client.project)} at {escape(self._client.address)}.</p>"
        )
        body = f"{about}{box('', namespace)}<h2>Kinds{here}</h2>{listed}"
        return html("Datastore", f"{body}<h2>Composite indexes (index.yaml)</h2>{self._indexes()}")

    def _indexes(self) -> str:
        """The file as it is now."""
        if not self._index_yaml.exists():
            return NO_INDEXES
        return f"<pre tabindex=0>{escape(self._index_yaml.read_text())}</pre>"

    async def _names(self, kind: str, namespace: str) -> list[str]:
        """Kinds, or namespaces, of which the default one has no name."""
        query = Query()
        query.kind.add().name = kind
        query.projection.add().property.name = "__key__"
        answer = await self._client.run_query(query, namespace)
        return [result.entity.key.path[-1].name for result in answer.batch.entity_results]

    async def query(self, request: web.Request) -> web.Response:
        """The answer to GQL, or why there is none."""
        text, namespace = request.query.get("gql", ""), request.query.get("namespace", "")
        try:
            query = gql.parse(text, self._client.partition(namespace))
            limited = query.HasField("limit")
            query.limit.value = min(query.limit.value, MOST_ROWS) if limited else ROWS
            if cursor := request.query.get("cursor"):
                query.start_cursor, query.offset = decoded(cursor), 0
            answer = await self._client.run_query(query, namespace)
            shown = results(answer)
            if not limited and answer.batch.more_results in MORE:
                cursor = encoded(answer.batch.end_cursor)
                following = link("query", "Next page", gql=text, namespace=namespace, cursor=cursor)
                shown += f"<p>{following}</p>"
        except gql.GqlError as error:
            shown = fault(str(error))
        except grpc.aio.AioRpcError as error:
            shown = refusal(error)
        return html("Query", f"{up(namespace)}{box(text, namespace)}{shown}")

    async def entity(self, request: web.Request) -> web.Response:
        """All properties of one entity."""
        try:
            key = Key.FromString(decoded(request.query.get("key", "")))
            found = await self._client.lookup(key)
        except DecodeError as error:
            raise web.HTTPBadRequest(text="This address holds no key.") from error
        except grpc.aio.AioRpcError as error:
            return html("Entity", up("") + refusal(error))
        named = f"{up(key.partition_id.namespace_id)}<p class=name>{escape(values.key(key))}</p>"
        if not found:
            gone = "<p>No entity has this key: perhaps it was deleted.</p>"
            return html("Entity", named + gone, status=404)
        facts = f"<p class=quiet>Version {found.version}, {found.entity.ByteSize():,} bytes.</p>"
        return html("Entity", named + facts + property_table(found.entity))


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode()


def decoded(text: str) -> bytes:
    """Raises HTTPBadRequest."""
    try:
        return base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise web.HTTPBadRequest(text="This address is incomplete.") from error


def link(page: str, text: str, **parameters: str) -> str:
    """A link to one of the pages; parameters without a value are left out."""
    given = {name: value for name, value in parameters.items() if value}
    return f'<a href="{escape(page + ("?" + urlencode(given) if given else ""))}">{escape(text)}</a>'


def up(namespace: str) -> str:
    return f"<p>{link('./', 'All kinds', namespace=namespace)}</p>"


def box(text: str, namespace: str) -> str:
    """The form for GQL."""
    hidden = f'<input type=hidden name=namespace value="{escape(namespace)}">' if namespace else ""
    return (
        f"<form action=query><label for=gql>GQL</label>"
        f"<textarea id=gql name=gql rows=2 required spellcheck=false autocapitalize=off "
        f"aria-describedby=example>{escape(text)}</textarea>{hidden}"
        f"<small id=example>{EXAMPLE}</small><button>Run</button></form>"
    )


def fault(text: str) -> str:
    """What is wrong; the part of it that belongs into index.yaml is easy to copy."""
    said, entry = re.fullmatch(r"(.*?)(^- ?kind:.*)?", text, re.DOTALL | re.MULTILINE).groups()  # type: ignore[union-attr]  # matches anything
    snippet = f"<pre tabindex=0>{escape(entry)}</pre>" if entry else ""
    return f"<div role=alert><p class=stopped>{escape(said)}</p>{snippet}</div>"


def refusal(error: grpc.aio.AioRpcError) -> str:
    """What the Datastore says, or gRPC of it."""
    return fault(error.details() or error.code().name)


def kind_list(kinds: list[str], namespace: str) -> str:
    """Each leads to its entities."""
    if not kinds:
        return NOTHING
    links = [link("query", kind, gql=f"{ALL_OF} {values.name(kind)}", namespace=namespace) for kind in kinds]
    return f"<ul>{''.join(f'<li>{one}</li>' for one in links)}</ul>"


def namespace_list(namespaces: list[str], current: str) -> str:
    """The others, if there are others."""
    others = [name for name in namespaces if name != current]
    links = [link("./", name or "the default one", namespace=name) for name in others]
    return f"<h2>Other namespaces</h2><ul>{''.join(f'<li>{one}</li>' for one in links)}</ul>" if links else ""


def results(answer: Any) -> str:
    """The entities of a batch as a table, and the indexes that found them."""
    entities = [result.entity for result in answer.batch.entity_results]
    plan = answer.explain_metrics.plan_summary.indexes_used
    used = "; ".join(str(dict(index.items()).get("properties", index)) for index in plan)
    note = f"<p class=quiet>Index used: {escape(used)}</p>" if used else ""
    if not entities:
        return f"<p>No entity matches.</p>{note}"
    columns = sorted({name for entity in entities for name in entity.properties})
    rows = [entity_row(entity, columns) for entity in entities]
    count = f"<p>{len(entities)} {'entity' if len(entities) == 1 else 'entities'}</p>"
    return count + note + table("Entities", ["Key", *map(escape, columns)], rows)


def entity_row(entity: Any, columns: list[str]) -> str:
    key = values.key(entity.key)
    shown = [values.shown(entity.properties[name]) if name in entity.properties else "" for name in columns]
    to_entity = link("entity", key, key=encoded(entity.key.SerializeToString()))
    cells = [f'<td class="{width(text)}">{escape(text)}</td>' for text in shown]
    return f'<th scope=row class="{width(key)}">{to_entity}</th>{"".join(cells)}'


def width(text: str) -> str:
    """The classes of a cell: what is short stays on one line."""
    return "name fixed" if len(text) <= FIXED else "name long"


def property_table(entity: Any) -> str:
    """Name, value, type, and whether it is indexed."""
    if not entity.properties:
        return "<p class=quiet>It has no properties.</p>"
    rows = [property_row(name, entity.properties[name]) for name in sorted(entity.properties)]
    return table("Properties", ["Property", "Value", "Type", "Indexed"], rows)


def property_row(name: str, value: Any) -> str:
    text = values.shown(value, values.LONG)
    return (
        f'<th scope=row>{escape(name)}</th><td class="{width(text)}">{escape(text)}</td>'
        f"<td>{values.type_of(value)}</td><td>{'yes' if values.is_indexed(value) else 'no'}</td>"
    )
