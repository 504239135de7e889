"""Snapshots: named, versioned states of the office that tenants are cloned from.

The built-in ones (`seeds/`) are made by code when they are first asked for, and kept in a cache under a
hash of that code: a changed office never meets a stale snapshot. Saved ones lie beside them as `NAME@N`.
"""

import fcntl
import functools
import hashlib
import re
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tac_rl.config.cache import cache_folder
from tac_rl.errors import OfficeError
from tac_rl.office import tenant as tenants
from tac_rl.office.laying import lay_over
from tac_rl.office.seeds import SNAPSHOTS
from tac_rl.office.services import SERVICES, make_empty
from tac_rl.office.tenant import Tenant

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CODE = (".py", ".html", ".sql", ".txt", ".md", ".json", ".yaml", ".j2")


class Snapshots:
    """The snapshots in one folder. Several processes may use it at once."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_folder() / "snapshots"

    def find(self, name: str) -> Path:
        """The folder of a snapshot, made first where it is a built-in one; `NAME` means the newest `NAME@N`."""
        if name in SNAPSHOTS:
            return self._built_in(name)
        wanted, _, number = name.partition("@")
        versions = self._versions(wanted)
        if number.isdigit() and int(number) in versions:
            return versions[int(number)]
        if not number and versions:
            return versions[max(versions)]
        raise OfficeError(f"no snapshot {name!r} in {self.root}; there are: {', '.join(self.names())}")

    def names(self) -> list[str]:
        """Every snapshot by the name under which `find` gives it."""
        saved = self.root.glob("*@*") if self.root.is_dir() else ()
        return sorted({*SNAPSHOTS, *(folder.name for folder in saved)})

    def save(self, source: Path, name: str) -> str:
        """Keep the office in the folder `source` (which nobody may be writing to) as `NAME@N`; gives that name."""
        if not _NAME.fullmatch(name) or name in SNAPSHOTS:
            raise OfficeError(
                f"{name!r} can't name a snapshot: take lower-case words joined by hyphens, other than "
                f"{', '.join(SNAPSHOTS)}"
            )
        with self._alone(name):
            number = max(self._versions(name), default=0) + 1
            draft = self.root / f".{name}-{secrets.token_hex(4)}"
            try:
                clone(source, draft)
                finish(draft)
                draft.rename(self.root / f"{name}@{number}")
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return f"{name}@{number}"

    def _built_in(self, name: str) -> Path:
        folder = self.root / f"{name}-{_code_version()}"
        if folder.is_dir():
            return folder
        with self._alone(name):
            if not folder.is_dir():
                draft = self.root / f".{name}-{secrets.token_hex(4)}"
                try:
                    _build(name, draft)
                    draft.rename(folder)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _versions(self, name: str) -> dict[int, Path]:
        found = {}
        for folder in self.root.glob(f"{name}@*") if _NAME.fullmatch(name) else ():
            number = folder.name.rpartition("@")[2]
            if number.isdigit():
                found[int(number)] = folder
        return found

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def clone(source: Path, target: Path) -> None:
    """Copy an office: its records are copied, its files shared until they are replaced."""
    target.mkdir()
    shutil.copyfile(source / tenants.DATABASE, target / tenants.DATABASE)
    for service in SERVICES.values():
        for folder in service.folders:
            service.clone(source / folder, target / folder)


def finish(folder: Path) -> None:
    """Make an office fit to be cloned often: compact records and repositories."""
    for service in SERVICES.values():
        if service.compact is not None:
            for name in service.folders:
                service.compact(folder / name)
    database = sqlite3.connect(folder / tenants.DATABASE)
    try:
        database.executescript("PRAGMA journal_mode=DELETE; ANALYZE; VACUUM;")
    finally:
        database.close()


def _build(name: str, folder: Path) -> None:
    make_empty(folder)
    tenant = Tenant(name, folder)
    try:
        lay_over(tenant, SNAPSHOTS[name]())
    finally:
        tenant.close()
    finish(folder)


@functools.cache
def _code_version() -> str:
    """A hash of everything that a built-in snapshot is made by."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in _CODE and path.parent.name != "verbs":
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
