"""Serves the static handlers of app.yaml: in production the app never sees these requests."""

from pathlib import Path

from aiohttp import hdrs, web

from apps.appengine.app_yaml import StaticHandler


def handler_of(path: str, handlers: list[StaticHandler]) -> StaticHandler | None:
    """The first handler whose URL the path (decoded) lies under."""
    return next((handler for handler in handlers if path.startswith(handler.url + "/")), None)


def answer(request: web.Request, handler: StaticHandler) -> web.StreamResponse:
    """The file, with the expiration that app.yaml gives it. Raises 404 for none, 405 for other methods."""
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
    file = find(handler.folder.resolve(), request.path.removeprefix(handler.url + "/"))
    if file is None:
        raise web.HTTPNotFound
    return web.FileResponse(file, headers={"Cache-Control": f"public, max-age={handler.expiration_seconds}"})


def find(folder: Path, name: str) -> Path | None:
    """The file of that name, if it is one and lies in the folder."""
    try:
        file = (folder / name).resolve()
    except ValueError:  # a zero byte in the name
        return None
    return file if file.is_relative_to(folder) and file.is_file() else None
