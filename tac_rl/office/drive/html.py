"""What the drive's HTML pages share: templates, answers, downloads. No scripts; everything is escaped."""

from collections.abc import AsyncIterator, Generator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse

from tac_rl.office.drive import files
from tac_rl.office.drive.archive import zip_pieces
from tac_rl.office.drive.dav import Dav

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(template: str, *, status: int = 200, **values: object) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status, _HEADERS)


def redirect(url: str) -> Response:
    return RedirectResponse(url, 303)


def folder_url(path: str) -> str:
    """Of the page that lists a folder."""
    return f"/index.php/apps/files/?dir={quote(path)}"


def download(dav: Dav, place: Path) -> Response:
    """A file, or a folder as a zip file, to be saved."""
    if place.is_dir():
        name = f"{place.name}.zip"
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return StreamingResponse(
            _stream(dav, zip_pieces(place)), media_type="application/zip", headers=headers
        )
    return FileResponse(place, media_type=files.mime_type(place.name), filename=place.name)


async def _stream(dav: Dav, pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    try:
        while (piece := await dav.on_thread(next, pieces, None)) is not None:
            yield piece
    finally:
        pieces.close()


def base_url(request: Request) -> str:
    """As the client knows this server: `http://the-agent-company.com:8092`."""
    return str(request.base_url).rstrip("/")


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    size = count / 1024
    for unit in ("KB", "MB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def crumbs(path: str) -> list[tuple[str, str]]:
    """Name and path of each folder on the way to `path`, the root left out."""
    names = files.split(path)
    return [(name, "/" + "/".join(names[: i + 1])) for i, name in enumerate(names)]


_TEMPLATES.filters["size"] = _size
_TEMPLATES.filters["time"] = _time
_TEMPLATES.filters["quote"] = quote
