"""The drive's WebDAV, driven by clients that none of us wrote."""

import base64
import os
import re
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import served_office

from tac_rl.office.drive import api
from tac_rl.office.drive.dav import Dav
from tac_rl.office.drive.files import clone_drive

AGENT = ("theagentcompany", "theagentcompany")
OVERLAY: dict[str, Any] = {
    "drive": {
        "files": {
            "Documents/plan.md": "# Plan\n",
            "Documents/sales figures.csv": "month,total\n1,20\n",
            "Documents/bin/blob.dat": "base64:AAECAw==",
        },
        "folders": ["Empty"],
    }
}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def dav(url: str, path: str = "", **options: Any) -> requests.Response:
    method = options.pop("method", "GET")
    options.setdefault("auth", AGENT)
    return requests.request(method, f"{url}/remote.php/webdav/{path}", timeout=30, **options)


def raw(url: str, request: str, body: bytes = b"") -> int:
    """The status of a request that no tidy client would send; `request` is its first line, less the version."""
    host, port = url.removeprefix("http://").split(":")
    login = base64.b64encode(":".join(AGENT).encode()).decode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"{request} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {login}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1])


@needs("litmus")
def test_litmus_passes_all_of_its_suites(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        done = subprocess.run(
            ["litmus", f"{office.urls['drive']}/remote.php/webdav/", *AGENT],
            env={**os.environ, "TESTS": "basic copymove props http locks"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("100.0%") == 5, done.stdout


@needs("rclone")
def test_rclone_syncs_a_folder_both_ways_with_times(tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    (here / "deep/er").mkdir(parents=True)
    (here / "a ünïcode & name.txt").write_text("hello")
    (here / "deep/er/b.bin").write_bytes(os.urandom(300_000))
    os.utime(here / "deep/er/b.bin", (1_700_000_000, 1_700_000_000))
    with served_office(tmp_path / "tenant", OVERLAY) as office:
        url = f"{office.urls['drive']}/remote.php/dav/files/mike_chen/"
        secret = subprocess.run(
            ["rclone", "obscure", "theagentcompany"], capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()

        def rclone(*arguments: str) -> str:
            options = ["--webdav-url", url, "--webdav-vendor", "owncloud", "--webdav-user", "mike_chen"]
            command = ["rclone", "--config", os.devnull, *arguments, *options, "--webdav-pass", secret]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        rclone("sync", str(here), ":webdav:Team/here")
        rclone("sync", ":webdav:Team/here", str(back))
        assert {p.name: p.read_bytes() for p in here.rglob("*") if p.is_file()} == {
            p.name: p.read_bytes() for p in back.rglob("*") if p.is_file()
        }
        assert (back / "deep/er/b.bin").stat().st_mtime == 1_700_000_000
        assert "There was nothing to transfer" in rclone("sync", "-v", str(here), ":webdav:Team/here")
        (here / "deep/er/b.bin").unlink()
        rclone("sync", str(here), ":webdav:Team/here")
        assert "b.bin" not in rclone("lsf", "-R", ":webdav:Team/here")
        assert "sales figures.csv" in rclone("lsf", ":webdav:Documents")


@needs("cadaver")
def test_cadaver_uploads_moves_and_lists(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("from cadaver\n")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1\nlogin theagentcompany\npassword theagentcompany\n")
    netrc.chmod(0o600)
    with served_office(tmp_path / "tenant", OVERLAY) as office:
        done = subprocess.run(
            ["cadaver", f"{office.urls['drive']}/remote.php/webdav/"],
            input="mkcol Notes\ncd Notes\nput note.txt\ncopy note.txt second.txt\nmove note.txt first.txt\nls\nquit\n",
            env={**os.environ, "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "first.txt" in done.stdout and "failed" not in done.stdout, done.stdout
        assert dav(office.urls["drive"], "Notes/second.txt").text == "from cadaver\n"


def test_tacs_checks_find_and_read_files(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        listed = dav(url, "Documents", method="PROPFIND", headers={"Depth": "1"})
        assert listed.status_code == 207
        hrefs = re.findall(r"<D:href>([^<]*)", listed.text)
        assert hrefs[0] == "/remote.php/webdav/Documents/"
        assert "/remote.php/webdav/Documents/sales%20figures.csv" in hrefs
        assert dav(url, "Documents/sales figures.csv").content == b"month,total\n1,20\n"
        assert dav(url, "Documents/none.csv").status_code == 404
        assert (
            dav(url, "/Documents//plan.md").status_code == 200
        )  # as it is when a checker joins with slashes


def test_only_accounts_of_the_company_come_in(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        for wrong in (None, ("theagentcompany", "x"), ("stranger", "theagentcompany"), ("", "")):
            refused = dav(url, "Documents/plan.md", auth=wrong)
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"].startswith("Basic ")
        for broken in ("Basic", "Basic !!!", "Basic 8J+Y", "Bearer x"):
            got = dav(url, "Documents/plan.md", auth=None, headers={"Authorization": broken})
            assert got.status_code == 401
        right = ("sarah_johnson", "sarah.johnson@agentcompany.com")
        assert {dav(url, auth=(r, "theagentcompany")).status_code for r in right} == {200}
        stranger = f"{url}/remote.php/dav/files/stranger/"
        assert requests.get(stranger, auth=AGENT, timeout=30).status_code == 404


def test_ranges_conditions_and_types_of_a_download(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        whole = dav(url, "Documents/sales figures.csv")
        assert whole.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert whole.headers["Last-Modified"] == "Mon, 02 Mar 2026 09:00:00 GMT"
        part = dav(url, "Documents/sales figures.csv", headers={"Range": "bytes=6-10"})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (
            206,
            b"total",
            "bytes 6-10/17",
        )
        assert dav(url, "Documents/plan.md", headers={"Range": "bytes=99-"}).status_code == 416
        assert dav(url, "Documents/plan.md", headers={"Range": "bytes=-3"}).content == b"an\n"
        same = {"If-None-Match": whole.headers["ETag"]}
        assert dav(url, "Documents/sales figures.csv", headers=same).status_code == 304
        assert dav(url, "Documents/plan.md", method="HEAD").headers["Content-Length"] == "7"
        stale = {"If-Match": '"0123"'}
        assert dav(url, "Documents/plan.md", method="PUT", data=b"x", headers=stale).status_code == 412
        before = whole.headers["ETag"]
        dav(url, "Documents/sales figures.csv", method="PUT", data=whole.content)
        assert dav(url, "Documents/sales figures.csv").headers["ETag"] != before


def test_properties_that_owncloud_clients_ask_for(tmp_path: Path) -> None:
    names = "<o:fileid/><o:id/><o:permissions/><o:size/><o:owner-id/><d:quota-used-bytes/><d:getetag/>"
    body = (
        f'<d:propfind xmlns:d="DAV:" xmlns:o="http://owncloud.org/ns"><d:prop>{names}</d:prop></d:propfind>'
    )
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        folder = dav(url, "", method="PROPFIND", data=body, headers={"Depth": "0"}).text
        assert re.search(r"quota-used-bytes[^>]*>28<", folder) and "RDNVCK" in folder
        assert re.search(r"size[^>]*>28<", folder)
        file = dav(url, "Documents/plan.md", method="PROPFIND", data=body, headers={"Depth": "0"}).text
        assert "RDNVW" in file and re.search(r"fileid[^>]*>\d+<", file) and 'getetag>"' in file
        patch = (
            '<d:propertyupdate xmlns:d="DAV:" xmlns:o="http://owncloud.org/ns"><d:set><d:prop>'
            "<o:permissions>X</o:permissions></d:prop></d:set></d:propertyupdate>"
        )
        refused = dav(url, "Documents/plan.md", method="PROPPATCH", data=patch)
        assert "403 Forbidden" in refused.text


def test_infinite_depth_lists_one_level_as_owncloud_does(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        listed = dav(office.urls["drive"], "", method="PROPFIND", headers={"Depth": "infinity"}).text
        assert "/webdav/Documents/" in listed and "plan.md" not in listed


def test_a_move_may_cross_mounts_and_name_another_host(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        target = "http://the-agent-company.com:8092/remote.php/dav/files/mike_chen/Empty/new%20plan.md"
        moved = dav(url, "Documents/plan.md", method="MOVE", headers={"Destination": target})
        assert moved.status_code == 201
        assert dav(url, "Empty/new plan.md").text == "# Plan\n"
        outside = {"Destination": f"{url}/index.php/x"}
        assert dav(url, "Empty/new plan.md", method="MOVE", headers=outside).status_code == 404
        assert dav(url, "Empty/new plan.md", method="MOVE").status_code == 400


def test_dead_properties_follow_their_file_and_survive_the_process(tmp_path: Path) -> None:
    patch = (
        '<d:propertyupdate xmlns:d="DAV:" xmlns:x="urn:x"><d:set><d:prop><x:colour>blue &amp; red</x:colour>'
        "</d:prop></d:set></d:propertyupdate>"
    )
    ask = '<d:propfind xmlns:d="DAV:" xmlns:x="urn:x"><d:prop><x:colour/></d:prop></d:propfind>'

    def colour(url: str, path: str) -> bool:
        return "blue &amp; red" in dav(url, path, method="PROPFIND", data=ask, headers={"Depth": "0"}).text

    def go(url: str, method: str, source: str, target: str) -> None:
        headers = {"Destination": f"{url}/remote.php/webdav/{target}"}
        assert dav(url, source, method=method, headers=headers).status_code == 201

    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        assert dav(url, "Documents/bin/blob.dat", method="PROPPATCH", data=patch).status_code == 207
        go(url, "COPY", "Documents/bin/blob.dat", "Documents/copy.dat")
        go(url, "MOVE", "Documents/", "bin/")
        assert colour(url, "bin/bin/blob.dat") and colour(url, "bin/copy.dat")
        assert dav(url, "bin/copy.dat", method="DELETE").status_code == 204
        stored = office.call(office.tenant.rows, "SELECT * FROM drive_properties")
        assert [(row["url"], row["name"]) for row in stored] == [("/bin/bin/blob.dat", "{urn:x}colour")]
        dav(url, "bin/copy.dat", method="PUT", data=b"new")
        assert not colour(url, "bin/copy.dat")


def test_a_lock_keeps_others_out_and_holds_for_the_pages_too(tmp_path: Path) -> None:
    lock = (
        '<d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/></d:lockscope>'
        "<d:locktype><d:write/></d:locktype></d:lockinfo>"
    )
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        token = dav(url, "Documents/plan.md", method="LOCK", data=lock).headers["Lock-Token"]
        mike = ("mike_chen", "theagentcompany")
        assert dav(url, "Documents/plan.md", method="PUT", data=b"x", auth=mike).status_code == 423
        form = {"path": "/Documents/plan.md"}
        page = requests.post(f"{url}/index.php/apps/files/delete", data=form, auth=mike, timeout=30)
        assert page.status_code == 423 and "Somebody has locked this" in page.text
        tagged = {"If": f"<{url}/remote.php/webdav/Documents/plan.md> ({token})"}
        assert dav(url, "Documents/plan.md", method="PUT", data=b"mine", headers=tagged).status_code == 204
        assert (
            dav(url, "Documents/plan.md", method="UNLOCK", headers={"Lock-Token": token}).status_code == 204
        )
        assert dav(url, "Documents/plan.md", method="PUT", data=b"x", auth=mike).status_code == 204


@pytest.mark.parametrize(
    "path",
    [
        "../office.db",
        "Documents/../../office.db",
        "%2e%2e/office.db",
        "Documents/%2e%2e/%2e%2e/office.db",
        "..%2foffice.db",
        "Documents%2fplan.md",
        "..%5coffice.db",
        "a%00b",
        "a%0ab",
        "%ff%fe",
        "x" * 300,
        "/".join(["d"] * 70),
    ],
)
def test_paths_that_lead_out_or_can_not_be_are_refused(tmp_path: Path, path: str) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        for method in ("GET", "PUT", "MKCOL", "DELETE", "PROPFIND"):
            body = b"x" if method == "PUT" else b""
            status = raw(url, f"{method} /remote.php/webdav/{path}", body)
            assert 400 <= status < 500, (method, status)
        there = {"Destination": f"/remote.php/webdav/{path}"}
        for method in ("COPY", "MOVE"):
            status = dav(url, "Documents/plan.md", method=method, headers=there).status_code
            assert 400 <= status < 500, (method, status)
        assert sorted(p.name for p in office.tenant.folder.iterdir() if p.is_file()) == ["office.db"]
        assert dav(url, "Documents/plan.md").text == "# Plan\n"


def test_nothing_is_copied_or_moved_over_the_folder_that_holds_it(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        for method in ("COPY", "MOVE"):
            for source, target in (("Documents/bin/blob.dat", "Documents"), ("Documents/bin", "")):
                headers = {"Destination": f"{url}/remote.php/webdav/{target}"}
                assert dav(url, source, method=method, headers=headers).status_code == 409
            into = {"Destination": f"{url}/remote.php/webdav/Documents/bin/deeper"}
            assert dav(url, "Documents", method=method, headers=into).status_code == 403
        assert dav(url, "Documents/bin/blob.dat").content == b"\x00\x01\x02\x03"
        assert dav(url, "", method="DELETE").status_code == 403


def test_headers_that_make_no_sense_are_a_clients_error(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        for method, headers, statuses in (
            ("MOVE", {"Destination": "http://[::1"}, {404}),
            ("MOVE", {"Destination": "/remote.php/webdav/%zz", "Overwrite": "?"}, {400}),
            ("PROPFIND", {"Depth": "-1"}, {400}),
            ("PUT", {"X-OC-Mtime": "²".encode("latin-1")}, {400}),
            ("PUT", {"X-OC-Mtime": "9" * 30}, {400}),
            ("PUT", {"Content-Range": "bytes 0-1/2"}, {400}),
            ("GET", {"Range": "bytes=5-2"}, {200}),
            ("GET", {"Range": "bytes=-0"}, {200}),
            ("GET", {"Range": "bytes=0-1,3-4"}, {200}),
            ("GET", {"If": "((([", "If-Match": '"'}, {412}),
            ("UNLOCK", {"Lock-Token": "<none>"}, {409}),
            ("LOCK", {"Timeout": "Second-" + "9" * 30}, {400}),
            ("PATCH", {}, {405}),
        ):
            got = dav(url, "Documents/plan.md", method=method, headers=headers)
            assert got.status_code in statuses, (method, headers, got.status_code)
        assert dav(url, "Documents/plan.md").text == "# Plan\n"


def test_a_reset_drive_has_no_locks(tmp_path: Path) -> None:
    lock = (
        '<d:lockinfo xmlns:d="DAV:"><d:lockscope><d:exclusive/></d:lockscope>'
        "<d:locktype><d:write/></d:locktype></d:lockinfo>"
    )
    with served_office(tmp_path, OVERLAY) as office:
        url, drive = office.urls["drive"], office.tenant.folder / "drive"
        clone_drive(drive, tmp_path / "as made")
        assert dav(url, "Documents/plan.md", method="LOCK", data=lock).status_code == 200
        assert dav(url, "Documents/plan.md", method="PUT", data=b"x").status_code == 423
        shutil.rmtree(drive)
        (tmp_path / "as made").rename(drive)
        assert dav(url, "Documents/plan.md", method="PUT", data=b"x").status_code == 204


def test_symbolic_links_are_neither_shown_nor_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with served_office(tmp_path / "tenant", OVERLAY) as office:
        url, drive = office.urls["drive"], office.tenant.folder / "drive"
        (drive / "link.txt").symlink_to(secret)
        (drive / "out").symlink_to(tmp_path)
        (drive / "in").symlink_to(drive / "Documents")
        assert "link.txt" not in dav(url, "", method="PROPFIND").text
        for path in ("link.txt", "out/secret.txt", "in/plan.md"):
            for method in ("GET", "PUT", "DELETE", "PROPFIND"):
                data = b"x" if method == "PUT" else None
                assert dav(url, path, method=method, data=data).status_code == 403, (method, path)
            headers = {"Destination": f"{url}/remote.php/webdav/{path}"}
            assert dav(url, "Documents/plan.md", method="COPY", headers=headers).status_code == 403
    assert secret.read_text() == "secret"


def test_broken_and_hostile_xml_is_a_clients_error(tmp_path: Path) -> None:
    ask = '<d:propfind xmlns:d="DAV:"><d:prop>{}<d:getetag/></d:prop></d:propfind>'
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + ask.format("&b;")
    bodies = ["<", "<a/>", "not xml", bomb, ask.format("<!-- a -->")]
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        for method in ("PROPFIND", "PROPPATCH", "LOCK"):
            statuses = [
                dav(url, "Documents", method=method, data=b, headers={"Depth": "0"}).status_code
                for b in bodies
            ]
            assert statuses[:4] == [400] * 4, method
            assert statuses[4] < 500
        huge = dav(url, "Documents", method="PROPFIND", data=b"<" + b"a" * 2**21)
        assert huge.status_code == 413


def test_a_large_upload_is_streamed_and_nothing_is_left_of_a_broken_one(tmp_path: Path) -> None:
    piece = os.urandom(2**20)
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        made = dav(
            url, "big.bin", method="PUT", data=(piece for _ in range(30))
        )  # chunked: no length is told
        assert made.status_code == 201
        drive = office.tenant.folder / "drive"
        assert (drive / "big.bin").read_bytes() == piece * 30
        got = dav(url, "big.bin", stream=True)
        assert sum(len(data) for data in got.iter_content(2**16)) == 30 * 2**20

        def breaks_off() -> Any:
            yield piece
            raise ConnectionAbortedError

        for path in ("big.bin", "new.bin"):
            with pytest.raises(requests.ConnectionError):
                dav(url, path, method="PUT", data=breaks_off())
        assert dav(url, "big.bin", method="HEAD").headers["Content-Length"] == str(30 * 2**20)
        assert dav(url, "new.bin").status_code == 404
    assert not list(office.tenant.folder.glob(".drive-*"))


def test_too_large_an_upload_is_refused_before_and_while_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Dav", partial(Dav, upload_bytes=100_000, quota_bytes=250_000))
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        assert dav(url, "a", method="PUT", data=b"x" * 100_001).status_code == 413
        assert dav(url, "a", method="PUT", data=(b"x" * 10_000 for _ in range(11))).status_code == 413
        assert dav(url, "a").status_code == 404
        assert dav(url, "a", method="PUT", data=b"x" * 100_000).status_code == 201
        assert dav(url, "b", method="PUT", data=b"x" * 100_000).status_code == 201
        assert dav(url, "c", method="PUT", data=b"x" * 100_000).status_code == 507
        assert dav(url, "b", method="PUT", data=b"y" * 100).status_code == 204  # room is found again
        assert dav(url, "c", method="PUT", data=b"x" * 100_000).status_code == 201
        form = {"file": ("d", b"x" * 100_000)}
        page = requests.post(f"{url}/index.php/apps/files/upload", files=form, auth=AGENT, timeout=30)
        assert page.status_code == 507
        assert not list(office.tenant.folder.glob(".drive-*"))


def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    with served_office(tmp_path / "a", OVERLAY) as one, served_office(tmp_path / "b", OVERLAY) as two:

        def work(number: int) -> int:
            office = (one, two)[number % 2]
            text = f"tenant {number % 2}"
            dav(office.urls["drive"], f"Documents/{number % 3}.txt", method="PUT", data=text)
            got = dav(office.urls["drive"], f"Documents/{number % 3}.txt")
            assert got.text == text
            return got.status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(work, range(48))) == {200}
        dav(one.urls["drive"], "Documents", method="DELETE")
        assert dav(two.urls["drive"], "Documents/plan.md").status_code == 200
