"""The drive's pages, as a person with a browser uses them."""

from pathlib import Path
from typing import Any

import requests
from office_helpers import ServedOffice, served_office

EVIL = '"><script>alert(1)<&.md'
OVERLAY: dict[str, Any] = {
    "drive": {
        "files": {
            "Documents/notes.md": "# Notes <b>bold</b>",
            "Documents/sheet.csv": "name,total\n<i>x</i>,2\n",
            "Documents/blob.xlsx": "base64:UEsDBA==",
            EVIL: "<script>alert(2)</script>",
        }
    }
}


def signed_in(office: ServedOffice, user: str = "mike_chen") -> requests.Session:
    browser = requests.Session()
    form = {"user": user, "password": "theagentcompany"}
    assert browser.post(f"{office.urls['drive']}/index.php/login", data=form, timeout=30).status_code == 200
    return browser


def test_a_stranger_signs_in_and_comes_to_the_folder_of_the_address(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office, requests.Session() as browser:
        url = office.urls["drive"]
        asked = browser.get(f"{url}?dir=/Documents", timeout=30)
        assert asked.url == f"{url}/index.php/login?redirect_url=/index.php/apps/files/%3Fdir%3D/Documents"
        form = {"user": "mike.chen@agentcompany.com", "password": "theagentcompany"}
        back = {"redirect_url": "/index.php/apps/files/?dir=/Documents"}
        seen = browser.post(f"{url}/index.php/login", data=form | back, timeout=30)
        assert seen.url == f"{url}/index.php/apps/files/?dir=/Documents"
        assert "notes.md" in seen.text and "Mike Chen" in seen.text
        assert browser.get(f"{url}/remote.php/webdav/Documents/notes.md", timeout=30).status_code == 200
        browser.post(f"{url}/index.php/logout", timeout=30)
        assert "login" in browser.get(f"{url}/index.php/apps/files/?dir=/Documents", timeout=30).url


def test_wrong_passwords_and_forged_cookies_do_not_sign_in(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        form = {"user": "mike_chen' OR 1=1 --", "password": "theagentcompany"}
        wrong = requests.post(f"{url}/index.php/login", data=form, timeout=30)
        assert wrong.status_code == 401 and "Wrong password" in wrong.text
        for cookie in ("x", "'; DROP TABLE drive_sessions", '"\\"'):
            got = requests.get(
                f"{url}/index.php/apps/files/",
                headers={"Cookie": f"oc_sessionPassphrase={cookie}"},
                allow_redirects=False,
                timeout=30,
            )
            assert got.status_code == 303


def test_signing_in_leads_to_no_other_server(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        for back in ("http://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
            form = {"user": "mike_chen", "password": "theagentcompany", "redirect_url": back}
            url = f"{office.urls['drive']}/index.php/login"
            got = requests.post(url, data=form, allow_redirects=False, timeout=30)
            assert got.headers["Location"] == "/index.php/apps/files/?dir=/"


def test_files_are_uploaded_renamed_moved_shared_downloaded_and_deleted(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office, signed_in(office) as browser:
        files = f"{office.urls['drive']}/index.php/apps/files"

        def do(action: str, **form: Any) -> requests.Response:
            uploads = form.pop("files", None)
            return browser.post(f"{files}/{action}", data=form, files=uploads, timeout=30)

        assert "Reports/" in do("folder", dir="/", name="Reports").text
        two = [("file", ("one.txt", b"1")), ("file", ("tw ö.txt", b"2" * 2_000_000))]
        listed = do("upload", dir="/Reports", files=two).text
        assert "one.txt" in listed and "tw ö.txt" in listed and "1.9 MB" in listed
        do("rename", path="/Reports/one.txt", name="first.txt")
        do("rename", path="/Reports/tw ö.txt", name="/Documents/second.txt")
        got = browser.get(
            f"{files}/ajax/download.php", params={"dir": "/Reports", "files": "first.txt"}, timeout=30
        )
        assert got.content == b"1"
        shared = do("share", path="/Reports/first.txt")
        assert shared.text.count("/index.php/s/") == 2  # address and text of one link
        assert do("share", path="/Reports/first.txt").text.count("/index.php/s/") == 2
        do("unshare", path="/Reports/first.txt")
        assert (
            "There are none"
            in browser.get(f"{files}/links", params={"path": "/Reports/first.txt"}, timeout=30).text
        )
        whole = browser.get(f"{files}/ajax/download.php", params={"dir": "/", "files": "Reports"}, timeout=30)
        assert whole.content.startswith(b"PK")
        do("delete", path="/Reports")
        assert "Reports/" not in browser.get(f"{files}/", timeout=30).text
        assert (office.tenant.folder / "drive/Documents/second.txt").stat().st_size == 2_000_000


def test_what_can_not_be_done_is_said_on_the_page(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office, signed_in(office) as browser:
        files = f"{office.urls['drive']}/index.php/apps/files"
        for action, form, status in (
            ("folder", {"dir": "/", "name": "Documents"}, 405),
            ("folder", {"dir": "/", "name": "a/b"}, 400),
            ("folder", {"dir": "/none", "name": "a"}, 404),
            ("folder", {"dir": "/", "name": ".."}, 400),
            ("folder", {}, 400),
            ("rename", {"path": "/Documents/notes.md", "name": "sheet.csv"}, 412),
            ("rename", {"path": "/Documents", "name": "/Documents/inside"}, 403),
            ("rename", {"path": "/none", "name": "x"}, 404),
            ("delete", {"path": "/"}, 403),
            ("delete", {"path": "/../office.db"}, 400),
            ("share", {"path": "/none"}, 404),
            ("upload", {"dir": "/"}, 400),
        ):
            kind = {"Content-Type": "multipart/form-data; boundary=x"} if action == "upload" else None
            got = browser.post(f"{files}/{action}", data=form, headers=kind, timeout=30)
            assert got.status_code == status and 'class="problem"' in got.text, (
                action,
                form,
                got.status_code,
            )
        up = [("file", ("../../escaped.txt", b"x"))]
        assert browser.post(f"{files}/upload", data={"dir": "/"}, files=up, timeout=30).status_code == 400
        assert browser.get(f"{files}/?dir=/none", timeout=30).status_code == 404
        assert not list(office.tenant.folder.rglob("escaped*"))


def test_text_is_shown_as_text_and_tables_as_tables(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office, signed_in(office) as browser:
        view = f"{office.urls['drive']}/index.php/apps/files/view"

        def seen(path: str) -> str:
            return browser.get(view, params={"path": path}, timeout=30).text

        assert "# Notes &lt;b&gt;bold&lt;/b&gt;" in seen("/Documents/notes.md")
        assert "<td>&lt;i&gt;x&lt;/i&gt;</td><td>2</td>" in seen("/Documents/sheet.csv")
        assert "There is no preview" in seen("/Documents/blob.xlsx")
        for page in (seen(f"/{EVIL}"), browser.get(f"{office.urls['drive']}/", timeout=30).text):
            assert "<script>" not in page and "&lt;script&gt;" in page


def test_forms_do_nothing_for_strangers(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        files = f"{office.urls['drive']}/index.php/apps/files"
        for action in ("upload", "folder", "rename", "delete", "share", "unshare"):
            form = {"path": "/Documents", "dir": "/", "name": "x"}
            got = requests.post(f"{files}/{action}", data=form, allow_redirects=False, timeout=30)
            assert (got.status_code, got.headers["Location"]) == (303, "/index.php/login")
        assert (office.tenant.folder / "drive/Documents/notes.md").exists()
