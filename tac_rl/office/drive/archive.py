"""A folder as a zip file, made piece by piece."""

import io
import stat
import zipfile
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from tac_rl.office.drive import files

PIECE_BYTES = 256 * 1024


class _Sink(io.RawIOBase):
    """What the archive has written and nobody has taken yet; it can't seek, so nothing taken is missed."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def take(self, at_least: int = 0) -> bytes:
        if len(self._held) < at_least:
            return b""
        taken = bytes(self._held)
        self._held.clear()
        return taken


def zip_pieces(folder: Path) -> Generator[bytes, None, None]:
    """The bytes of a zip file (stored, not compressed) with the folder and all in it; reads files as it goes."""
    sink = _Sink()
    with zipfile.ZipFile(cast(BinaryIO, sink), "w", zipfile.ZIP_STORED) as archive:
        for path, status in files.tree(folder):
            changed = datetime.fromtimestamp(
                max(status.st_mtime, 315532800), UTC
            )  # zip's time begins in 1980
            if stat.S_ISDIR(status.st_mode):
                archive.writestr(zipfile.ZipInfo(f"{folder.name}/{path}/", changed.timetuple()[:6]), b"")
                continue
            entry = zipfile.ZipInfo(f"{folder.name}/{path}", changed.timetuple()[:6])
            entry.file_size = status.st_size
            with (folder / path).open("rb") as source, archive.open(entry, "w") as target:
                while data := source.read(PIECE_BYTES):
                    target.write(data)
                    if piece := sink.take(PIECE_BYTES):
                        yield piece
    yield sink.take()
