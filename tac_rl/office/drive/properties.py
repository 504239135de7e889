"""Dead properties of one request, and what it moved and removed: WsgiDAV's property manager."""

from typing import Any
from urllib.parse import unquote

from tac_rl.office.drive.store import Departure


class Properties:
    """The tenant's dead properties while one request runs; URLs are WsgiDAV's references.

    WsgiDAV tells its property manager of everything that moves or goes, so `departures` is a record of that
    for the shares. Not thread-safe: a tenant's requests run one at a time.
    """

    def __init__(self, values: dict[str, dict[str, bytes]]) -> None:
        self.values = values
        self.dirty = False
        self.departures: list[Departure] = []

    def get_properties(self, url: str, environ: Any = None) -> list[str]:
        return list(self.values.get(url, ()))

    def get_property(self, url: str, name: str, environ: Any = None) -> bytes | None:
        return self.values.get(url, {}).get(name)

    def write_property(
        self, url: str, name: str, value: bytes, dry_run: bool = False, environ: Any = None
    ) -> None:
        if not dry_run:
            self.values.setdefault(url, {})[name] = value
            self.dirty = True

    def remove_property(self, url: str, name: str, dry_run: bool = False, environ: Any = None) -> None:
        if not dry_run and self.values.get(url, {}).pop(name, None) is not None:
            self.dirty = True

    def remove_properties(self, url: str, environ: Any = None) -> None:
        """The resource and all below it are gone."""
        for gone in self._below(url):
            del self.values[gone]
            self.dirty = True
        self.departures.append(Departure(_path(url), None))

    def copy_properties(self, source: str, target: str, environ: Any = None) -> None:
        if source in self.values:
            self.values[target] = dict(self.values[source])
            self.dirty = True

    def move_properties(self, source: str, target: str, with_children: bool, environ: Any = None) -> None:
        for url in self._below(source) if with_children else [source] if source in self.values else []:
            self.values[target + url[len(source) :]] = self.values.pop(url)
            self.dirty = True
        self.departures.append(Departure(_path(source), _path(target)))

    def _below(self, url: str) -> list[str]:
        folder = url.endswith("/")
        return [u for u in self.values if u == url or (folder and u.startswith(url))]


def _path(url: str) -> str:
    return "/" + unquote(url).strip("/")
