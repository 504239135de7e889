"""Tenants of one office process: made from a snapshot and overlays, reset, compared, saved, removed."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tac_rl.errors import OfficeError
from tac_rl.office import changes, snapshots
from tac_rl.office.base import ServiceName
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import Overlay
from tac_rl.office.services import SERVICES
from tac_rl.office.tenant import DATABASE, Tenant


@dataclass(frozen=True)
class Origin:
    """What a tenant was made of: enough to make it again, byte for byte."""

    snapshot: str
    overlays: tuple[Overlay, ...] = ()
    seed: int = 0


class TenantStore:
    """Tenants in one folder, by name. Use it from one thread."""

    def __init__(self, folder: Path, library: snapshots.Snapshots | None = None) -> None:
        self.folder = folder
        self.snapshots = library or snapshots.Snapshots()
        self.tenants: dict[str, Tenant] = {}
        self._origins: dict[str, Origin] = {}
        self._sources: dict[str, Path] = {}

    def make(self, name: str, origin: Origin) -> Tenant:
        """A fresh tenant; `OverlayError` where an overlay can't be laid, `OfficeError` where a name is taken."""
        if name in self.tenants:
            raise OfficeError(f"there is a tenant {name!r} already")
        tenant = self._lay(name, origin, self.folder / name)
        self.tenants[name], self._origins[name] = tenant, origin
        tenant.reset = lambda services: self.reset(name, services)
        return tenant

    def prepare(self, snapshot: str) -> Path:
        """Make a snapshot ready to be cloned: its folder, on the disk where tenants are. May take seconds once.

        Unlike everything else here this may run in another thread.
        """
        if snapshot not in self._sources:
            found = self.snapshots.find(snapshot)
            if found.stat().st_dev != self.folder.stat().st_dev:
                found = shutil.copytree(
                    found, Path(tempfile.mkdtemp(dir=self.folder, prefix=".snapshot-")) / "office"
                )
            self._sources[snapshot] = found
        return self._sources[snapshot]

    def remove(self, name: str) -> None:
        """Close and delete a tenant; nothing happens where there is none."""
        tenant = self.tenants.pop(name, None)
        self._origins.pop(name, None)
        if tenant is not None:
            tenant.close()
            shutil.rmtree(tenant.folder, ignore_errors=True)

    def reset(self, name: str, services: frozenset[ServiceName]) -> None:
        """Put these services back to what they were when the tenant was made; people stay as they are."""
        tenant = self.tenants[name]
        with self._as_made(name) as base:
            tenant.db.execute("PRAGMA foreign_keys=OFF")
            tenant.db.execute("ATTACH DATABASE ? AS base", (str(base / DATABASE),))
            try:
                with tenant.transaction() as db:
                    for table in _tables(tenant, services):
                        db.execute(f'DELETE FROM main."{table}"')
                        db.execute(f'INSERT INTO main."{table}" SELECT * FROM base."{table}"')
            finally:
                tenant.db.execute("DETACH DATABASE base")
                tenant.db.execute("PRAGMA foreign_keys=ON")
            for service in services:
                for folder in SERVICES[service].folders:
                    shutil.rmtree(tenant.folder / folder)
                    (base / folder).rename(tenant.folder / folder)

    def changes(self, name: str) -> changes.Changes:
        """What is different from the tenant as it was made."""
        with self._as_made(name) as base:
            return changes.diff(base, self.tenants[name].folder)

    def save(self, name: str, snapshot: str) -> str:
        """Keep the tenant's state as a snapshot; gives the versioned name."""
        saved = self.snapshots.save(self.tenants[name].folder, snapshot)
        self._sources.pop(snapshot, None)  # The bare name means the newest version.
        return saved

    def close(self) -> None:
        for name in list(self.tenants):
            self.remove(name)

    def _lay(self, name: str, origin: Origin, folder: Path) -> Tenant:
        snapshots.clone(self.prepare(origin.snapshot), folder)
        tenant = Tenant(name, folder, seed=origin.seed)
        try:
            for overlay in origin.overlays:
                lay_over(tenant, overlay)
        except BaseException:
            tenant.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return tenant

    @contextmanager
    def _as_made(self, name: str) -> Iterator[Path]:
        """The tenant's first state, made once more: cheaper than keeping it for every tenant."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".as-made-") as scratch:
            folder = Path(scratch) / "office"
            self._lay(name, self._origins[name], folder).close()
            yield folder


def _tables(tenant: Tenant, services: frozenset[ServiceName]) -> Sequence[str]:
    """The services' tables; those of full-text indexes are left to the triggers or engines that keep them."""
    names = [str(row["name"]) for row in tenant.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [name for name in names if name.partition("_")[0] in services]
