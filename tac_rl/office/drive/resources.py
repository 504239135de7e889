"""The drive as WsgiDAV sees it: its file-system provider, made to replace files and to refuse links."""

import os
import shutil
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wsgidav.dav_error import DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection
from wsgidav.fs_dav_provider import FileResource, FilesystemProvider, FolderResource
from wsgidav.lock_man.lock_manager import LockManager

from tac_rl.office.drive import files
from tac_rl.office.drive.files import Incoming, RefusedError
from tac_rl.office.drive.properties import Properties

TASK = "tac_rl.drive"
"""Key of the WSGI environment under which a `Task` stands."""
OWNCLOUD = "{http://owncloud.org/ns}"


@dataclass
class Task:
    """What a request brings along, besides its WSGI environment."""

    now: float
    """The tenant's time, in seconds since the epoch."""
    owner: str
    """Shown as the owner of everything."""
    properties: Properties
    quota: int
    """Bytes that the whole drive may hold."""
    incoming: Incoming | None = None
    """The body of a PUT."""


class _Shared:
    """What files and folders have in common."""

    path: str
    environ: dict[str, Any]
    provider: "DriveProvider"
    file_stat: os.stat_result
    _file_path: str
    is_collection: bool

    def get_creation_date(self) -> None:
        """Unknown: a file system's times of creation tell of tenants, not of files."""

    def get_property_value(self, name: str) -> Any:
        found = self._owncloud(name.removeprefix(OWNCLOUD)) if name.startswith(OWNCLOUD) else None
        if found is None and self.is_collection and name.startswith("{DAV:}quota-"):
            used = files.used_bytes(self.provider.root)
            left = max(0, self.environ[TASK].quota - used)
            return str(used if name == "{DAV:}quota-used-bytes" else left)
        if found is None:
            found = super().get_property_value(name)  # type: ignore[misc]
            if name == "{DAV:}getetag":
                return f'"{found}"'
        return found

    def set_property_value(self, name: str, value: Any, *, dry_run: bool = False) -> Any:
        if name.startswith(OWNCLOUD) and self._owncloud(name.removeprefix(OWNCLOUD)) is not None:
            raise DAVError(403, f"{name} is the server's own")
        return super().set_property_value(name, value, dry_run=dry_run)  # type: ignore[misc]

    def _owncloud(self, name: str) -> str | None:
        path = "/" + self.path.strip("/")
        match name:
            case "fileid":
                return str(files.file_id(path))
            case "id":
                return f"{files.file_id(path):08d}drive"
            case "permissions":
                return "RDNVCK" if self.is_collection else "RDNVW"
            case "owner-id" | "owner-display-name":
                return str(self.environ[TASK].owner)
            case "size":
                whole = (
                    files.used_bytes(Path(self._file_path)) if self.is_collection else self.file_stat.st_size
                )
                return str(whole)
        return None

    def set_last_modified(self, dest_path: str, time_stamp: Any, *, dry_run: bool) -> bool:
        """Clients may say when a file was changed (X-OC-Mtime)."""
        seconds = int(time_stamp)
        if not dry_run:
            # The fraction of a second is no client's business, and keeps ETags different.
            place = Path(self._file_path)
            files.set_modified(self.provider.root, place, seconds + self.environ[TASK].now % 1)
        return True

    def touch_parent(self, place: Path) -> None:
        """A name was added to or taken from the folder that holds `place`."""
        files.set_modified(self.provider.root, place.parent, self.environ[TASK].now)

    def handle_copy(self, dest_path: str, *, depth_infinity: bool) -> bool:
        return self.handle_move(dest_path)

    def handle_move(self, dest_path: str) -> bool:
        """Leaves the work to WsgiDAV, which would first delete what it overwrites: not a folder above this."""
        if (self.path.rstrip("/") + "/").startswith(dest_path.rstrip("/") + "/"):
            raise DAVError(409, "the destination holds the source")
        return False

    def move_recursive(self, dest_path: str) -> None:
        source, target = Path(self._file_path), self.provider.place(dest_path)
        below = files.depth_below(source)
        if len(files.split(dest_path)) + below > files.PATH_DEPTH:
            raise DAVError(403, f"a path may have {files.PATH_DEPTH} folders at most")
        was = self.get_ref_url()  # type: ignore[attr-defined]
        source.rename(target)
        self.touch_parent(source)
        self.touch_parent(target)
        moved = self.provider.get_resource_inst(dest_path, self.environ)
        assert moved is not None
        self.environ[TASK].properties.move_properties(was, moved.get_ref_url(), with_children=True)
        # A lock stays behind, and ends where there is nothing left to lock (RFC 4918, 7.6).
        self.remove_all_locks(recursive=True)  # type: ignore[attr-defined]


class DriveFile(_Shared, FileResource):
    """A file, or the place of one that a PUT is about to make."""

    def __init__(
        self, path: str, environ: dict[str, Any], file_path: str, status: os.stat_result | None
    ) -> None:
        DAVNonCollection.__init__(self, path.rstrip("/"), environ)
        self._file_path = file_path
        if status is not None:
            self.file_stat = status

    def get_content_type(self) -> str:
        kind = files.mime_type(self.name)
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind

    def get_etag(self) -> str:
        return files.etag(self.path, self.file_stat)

    def finalize_headers(self, environ: dict[str, Any], response_headers: list[tuple[str, str]]) -> None:
        # A page that somebody uploaded must not run as a page of the drive.
        response_headers.append(("Content-Disposition", f"attachment; filename*=UTF-8''{quote(self.name)}"))

    def begin_write(self, *, content_type: str | None = None) -> BytesIO:
        """The body has been received already, as the task's `incoming`; nothing is written here."""
        return BytesIO()

    def end_write(self, *, with_errors: bool) -> None:
        task: Task = self.environ[TASK]
        if not with_errors and task.incoming is not None:
            place = Path(self._file_path)
            is_new = not place.exists()
            task.incoming.commit(place, task.now)
            self.file_stat = place.stat()
            if is_new:
                self.touch_parent(place)

    def delete(self) -> None:
        super().delete()
        self.touch_parent(Path(self._file_path))

    def copy_move_single(self, dest_path: str, *, is_move: bool) -> None:
        target = self.provider.place(dest_path)
        files.copy_file(self.provider.root, Path(self._file_path), target)
        self.touch_parent(target)
        copy = self.provider.get_resource_inst(dest_path, self.environ)
        assert copy is not None
        properties: Properties = self.environ[TASK].properties
        if is_move:
            properties.move_properties(self.get_ref_url(), copy.get_ref_url(), with_children=False)
        else:
            properties.copy_properties(self.get_ref_url(), copy.get_ref_url())


class DriveFolder(_Shared, FolderResource):
    def __init__(self, path: str, environ: dict[str, Any], file_path: str, status: os.stat_result) -> None:
        DAVCollection.__init__(self, path, environ)
        self._file_path = file_path
        self.file_stat = status

    def get_used_bytes(self) -> None:
        """Told only to who asks for it by name (`get_property_value`): it costs a walk over the drive."""

    def get_available_bytes(self) -> None: ...

    def get_member_names(self) -> list[str]:
        return [name for name, _ in files.members(Path(self._file_path))]

    def get_member_list(self) -> list["DriveFile | DriveFolder"]:
        base = self.path.rstrip("/")
        return [
            _resource(f"{base}/{name}", self.environ, f"{self._file_path}/{name}", status)
            for name, status in files.members(Path(self._file_path))
        ]

    def create_empty_resource(self, name: str) -> DriveFile:
        path = f"{self.path.rstrip('/')}/{name}"
        place = self.provider.place(path)
        task: Task = self.environ[TASK]
        if task.incoming is not None:
            return DriveFile(path, self.environ, str(place), None)
        files.write_file(self.provider.root, place, b"", task.now)
        self.touch_parent(place)
        return DriveFile(path, self.environ, str(place), place.stat())

    def create_collection(self, name: str) -> None:
        place = self.provider.place(f"{self.path.rstrip('/')}/{name}")
        place.mkdir()
        files.set_modified(self.provider.root, place, self.environ[TASK].now)
        self.touch_parent(place)

    def support_recursive_delete(self) -> bool:
        return True

    def delete(self) -> None:
        if self.path.strip("/") == "":
            raise DAVError(403, "the drive itself can't be deleted")
        shutil.rmtree(self._file_path)
        self.remove_all_properties(recursive=True)
        self.remove_all_locks(recursive=True)
        self.touch_parent(Path(self._file_path))

    def copy_move_single(self, dest_path: str, *, is_move: bool) -> None:
        target = self.provider.place(dest_path)
        if not target.is_dir():
            target.mkdir()
            self.touch_parent(target)
        files.set_modified(self.provider.root, target, self.file_stat.st_mtime)
        copy = self.provider.get_resource_inst(dest_path, self.environ)
        assert copy is not None
        properties: Properties = self.environ[TASK].properties
        if is_move:
            properties.move_properties(self.get_ref_url(), copy.get_ref_url(), with_children=False)
        else:
            properties.copy_properties(self.get_ref_url(), copy.get_ref_url())


class DriveProvider(FilesystemProvider):
    """Resources in one tenant's drive, under one mount."""

    def __init__(self, root: Path, locks: LockManager) -> None:
        super().__init__(str(root), fs_opts={"follow_symlinks": False})
        self.root = root
        self.verbose = 0
        self.set_lock_manager(locks)

    def place(self, path: str) -> Path:
        """Where a path is on disk; `DAVError` for one that can't be or that leads over a link."""
        try:
            return files.locate(self.root, path)
        except RefusedError as refused:
            raise DAVError(refused.status, str(refused)) from refused

    def get_resource_inst(
        self, path: str | None, environ: dict[str, Any]
    ) -> "DriveFile | DriveFolder | None":
        if path is None:  # the parent of the root
            return None
        place = self.place(path)
        try:
            status = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise DAVError(403, "this is neither a file nor a folder")
        return _resource(path, environ, str(place), status)

    def custom_request_handler(
        self, environ: dict[str, Any], start_response: Any, default_handler: Any
    ) -> Any:
        """A browser that opens a folder here is told what this is, as ownCloud does."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            found = self.get_resource_inst(environ["PATH_INFO"], environ)
            if found is not None and found.is_collection:
                text = b"This is the WebDAV interface. It can only be accessed by WebDAV clients.\n"
                start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
                return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text]
        return default_handler(environ, start_response)


def _resource(
    path: str, environ: dict[str, Any], file_path: str, status: os.stat_result
) -> DriveFile | DriveFolder:
    kind = DriveFolder if stat.S_ISDIR(status.st_mode) else DriveFile
    return kind(path, environ, file_path, status)
