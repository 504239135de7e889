"""The drive's files under a snapshot: hard links stay as they were, laying is the same each time."""

import os
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import PEOPLE, served_office

from tac_rl.errors import OverlayError
from tac_rl.office.drive import files
from tac_rl.office.drive.files import RefusedError, clone_drive
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

AGENT = ("theagentcompany", "theagentcompany")


def lay(folder: Path, *overlays: dict[str, Any]) -> Tenant:
    make_empty(folder)
    tenant = Tenant("laid", folder)
    for overlay in overlays:
        lay_over(tenant, parse_overlay({"people": PEOPLE, "drive": overlay}, "the test"))
    return tenant


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> time and content of everything in a drive."""
    root = folder / "drive"
    places = [root, *root.rglob("*")]
    return {
        str(p.relative_to(root)): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
        for p in places
    }


def test_every_way_to_change_a_file_leaves_the_snapshot_as_it_was(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    overlay = {"files": {"Documents/a.txt": "one", "Documents/b.txt": "two", "Documents/deep/c.txt": "three"}}
    lay(snapshot, overlay).close()
    before = state(snapshot)
    with served_office(tmp_path / "tenant") as office:
        drive = office.tenant.folder / "drive"
        drive.rmdir()
        clone_drive(snapshot / "drive", drive)
        assert (drive / "Documents/a.txt").stat().st_nlink == 2
        url = f"{office.urls['drive']}/remote.php/webdav"

        def do(method: str, path: str, target: str = "", body: bytes | None = None, **headers: str) -> int:
            if target:
                headers["Destination"] = f"{url}/{target}"
            return requests.request(
                method, f"{url}/{path}", data=body, headers=headers, auth=AGENT, timeout=30
            ).status_code

        value = '<d:prop><x xmlns="urn:x">1</x></d:prop>'
        patch = f'<d:propertyupdate xmlns:d="DAV:"><d:set>{value}</d:set></d:propertyupdate>'.encode()
        assert do("COPY", "Documents/a.txt", "copy.txt") == 201
        assert do("PUT", "copy.txt", body=b"changed copy") == 204
        assert do("PUT", "Documents/a.txt", body=b"changed") == 204
        assert do("PUT", "Documents/b.txt", body=b"two", **{"X-OC-Mtime": "1500000000"}) == 204
        assert do("PROPPATCH", "Documents/deep/c.txt", body=patch) == 207
        assert do("COPY", "Documents/a.txt", "Documents/deep/c.txt") == 204
        assert do("COPY", "Documents/a.txt", "Documents/deep/c.txt") == 204  # onto a link to the same file
        assert do("PUT", "Documents/b.txt", body=b"x", **{"If-Match": '"0"'}) == 412
        assert do("MOVE", "Documents/deep", "moved") == 201
        assert do("PUT", "moved/c.txt", body=b"moved and changed") == 204
        assert do("DELETE", "Documents") == 204
        assert sorted(p.name for p in drive.iterdir()) == ["copy.txt", "moved"]
        assert not list(office.tenant.folder.glob(".drive-*"))
    assert state(snapshot) == before


def test_a_clone_shares_files_keeps_times_and_leaves_links_out(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "empty").mkdir(parents=True)
    (source / "a").write_text("a")
    (source / "link").symlink_to("/etc/passwd")
    os.utime(source / "empty", (1_600_000_000, 1_600_000_000))
    clone_drive(source, target)
    assert sorted(p.name for p in target.iterdir()) == ["a", "empty"]
    assert (target / "a").samefile(source / "a")
    assert (target / "empty").stat().st_mtime == 1_600_000_000
    with pytest.raises(FileExistsError):
        clone_drive(source, target)


def test_a_clone_copies_where_links_can_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_text("a")
    monkeypatch.setattr(os, "link", no_links)
    clone_drive(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target/a").read_text() == "a"
    assert not (tmp_path / "target/a").samefile(tmp_path / "source/a")


def test_setting_the_time_of_a_shared_file_replaces_it(tmp_path: Path) -> None:
    root = tmp_path / "drive"
    root.mkdir()
    (tmp_path / "shared").write_text("x")
    os.utime(tmp_path / "shared", (1_600_000_000, 1_600_000_000))
    (root / "a").hardlink_to(tmp_path / "shared")
    files.set_modified(root, root / "a", 1_700_000_000)
    assert (root / "a").stat().st_mtime == 1_700_000_000
    assert (tmp_path / "shared").stat().st_mtime == 1_600_000_000


def test_laying_is_the_same_each_time_and_extends_what_is_there(tmp_path: Path) -> None:
    first = {"files": {"d/a.txt": "1", "d/e/b.bin": "base64:AAH/", "c": b"\x00"}, "folders": ["empty/inner"]}
    second = {
        "files": {"d/a.txt": "2", "d/new.txt": "3"},
        "shares": [{"path": "/d/", "token": "tok"}, {"path": "c"}],
    }
    tenants = [lay(tmp_path / name, first, second) for name in ("one", "two")]
    one, two = (state(t.folder) for t in tenants)
    assert one == two
    nine = 1_772_442_000_000_000_000
    assert one["d/e/b.bin"] == (nine, b"\x00\x01\xff")
    assert one["d/a.txt"] == (nine + 60_000_000_000, b"2") and one["d"][0] == nine + 60_000_000_000
    assert one["empty/inner"] == (nine, b"")
    shares = [[tuple(row) for row in t.rows("SELECT * FROM drive_shares")] for t in tenants]
    assert shares[0] == shares[1]
    assert (shares[0][0][2], shares[0][0][5]) == ("/d", "tok")
    for tenant in tenants:
        tenant.close()


@pytest.mark.parametrize(
    ("overlay", "names"),
    [
        ({"files": {"../x": "1"}}, "'../x' can't be stored"),
        ({"files": {"a": "1", "a/b": "2"}}, "a/b lies in a file"),
        ({"files": {"d": "1"}, "folders": ["d"]}, "d is a folder"),
        ({"files": {"a": "base64:A"}}, "a is not base64"),
        ({"files": {"/": "1"}}, "names no file"),
        ({"shares": [{"path": "none.txt"}]}, "none.txt has no file"),
        (
            {"files": {"a": "1"}, "shares": [{"path": "a", "token": "t"}, {"path": "a", "token": "t"}]},
            "token t",
        ),
    ],
)
def test_an_overlay_that_can_not_be_laid_says_what_and_why(
    tmp_path: Path, overlay: dict[str, Any], names: str
) -> None:
    with pytest.raises(OverlayError, match="drive: ") as caught:
        lay(tmp_path / "office", overlay)
    assert names in str(caught.value)


def test_paths_are_checked_name_by_name(tmp_path: Path) -> None:
    assert files.normal("//a/b/") == "/a/b"
    assert files.normal("") == "/"
    for bad in ("a/../b", "./a", "a\\b", "a\nb", "\ud800", "x" * 251, "/".join("a" * 65)):
        with pytest.raises(RefusedError) as caught:
            files.locate(tmp_path, bad)
        assert caught.value.status == 400
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError) as caught:
        files.locate(tmp_path, "link/a")
    assert caught.value.status == 403
