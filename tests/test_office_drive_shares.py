"""The OCS share API, users and capabilities, and what public links show."""

import io
import re
import xml.etree.ElementTree as ET
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import ServedOffice, served_office

AGENT = ("theagentcompany", "theagentcompany")
MIKE = ("mike_chen", "theagentcompany")
EVIL = "<script>alert(1)<&.txt"
OVERLAY: dict[str, Any] = {
    "drive": {
        "files": {"Documents/a b.txt": "hello", "Documents/deep/c.csv": "x,y\n", EVIL: "evil"},
        "shares": [{"path": "Documents/a b.txt", "token": "b61rG8gHESP84Na"}],
    }
}


def shares(
    office: ServedOffice, method: str = "GET", number: int | str = "", version: int = 2, **options: Any
) -> tuple[int, int, Any]:
    """HTTP status, status in the envelope, and data of a call of the share API."""
    options.setdefault("auth", AGENT)
    path = f"/ocs/v{version}.php/apps/files_sharing/api/v1/shares" + (f"/{number}" if number != "" else "")
    params = {"format": "json", **options.pop("params", {})}
    answer = requests.request(method, office.urls["drive"] + path, params=params, timeout=30, **options)
    ocs = answer.json()["ocs"]
    return answer.status_code, ocs["meta"]["statuscode"], ocs["data"]


def test_a_link_is_made_listed_changed_and_ended(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        http, code, made = shares(office, "POST", data={"path": "Documents", "shareType": 3, "name": "all"})
        assert (http, code) == (200, 200)
        assert made["url"] == f"{office.urls['drive']}/index.php/s/{made['token']}"
        assert (made["item_type"], made["permissions"], made["name"]) == ("folder", 1, "all")
        assert [s["path"] for s in shares(office)[2]] == ["/Documents/a b.txt", "/Documents"]
        assert [s["id"] for s in shares(office, params={"path": "/Documents"})[2]] == [made["id"]]
        inside = shares(office, params={"path": "/Documents", "subfiles": "true"})[2]
        assert [s["path"] for s in inside] == ["/Documents/a b.txt"]
        assert shares(office, number=made["id"])[2][0]["token"] == made["token"]
        day = (office.call(office.tenant.now) + timedelta(days=3)).date().isoformat()
        changed = shares(office, "PUT", made["id"], json={"expireDate": day, "password": "pw"})[2]
        assert changed["expiration"] == f"{day} 00:00:00" and changed["share_with"] == "***redacted***"
        assert shares(office, "PUT", made["id"], data={"expireDate": ""})[2]["expiration"] is None
        assert shares(office, "DELETE", made["id"])[:2] == (200, 200)
        assert shares(office, "DELETE", made["id"])[:2] == (404, 404)


def test_version_one_always_answers_200_and_xml_by_default(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = f"{office.urls['drive']}/ocs/v1.php/apps/files_sharing/api/v1/shares"
        listed = requests.get(url, auth=AGENT, timeout=30)
        assert listed.headers["Content-Type"].startswith("text/xml")
        root = ET.fromstring(listed.content)
        assert root.findtext("meta/statuscode") == "100"
        assert root.findtext("data/element/token") == "b61rG8gHESP84Na"
        assert shares(office, number=99, version=1)[:2] == (200, 404)
        assert shares(office, "POST", version=1, data={"path": "/none", "shareType": 3})[:2] == (200, 404)
        assert shares(office, version=1, auth=None)[:2] == (401, 997)
        assert shares(office, version=1, auth=("mike_chen", "x"))[:2] == (401, 997)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"shareType": 3}, 404),
        ({"path": "/none.txt", "shareType": 3}, 404),
        ({"path": "/../office.db", "shareType": 3}, 404),
        ({"path": "/", "shareType": 3}, 403),
        ({"path": "/Documents"}, 400),
        ({"path": "/Documents", "shareType": 7}, 400),
        ({"path": "/Documents", "shareType": 1, "shareWith": "admins"}, 404),
        ({"path": "/Documents", "shareType": 0, "shareWith": "'; DROP TABLE drive_shares; --"}, 404),
        ({"path": "/Documents", "shareType": 0, "shareWith": "theagentcompany"}, 403),
        ({"path": "/Documents", "shareType": 3, "permissions": 99}, 404),
        ({"path": "/Documents", "shareType": 3, "permissions": "²"}, 404),
        ({"path": "/Documents", "shareType": 3, "publicUpload": "true"}, 403),
        ({"path": "/Documents", "shareType": 3, "expireDate": "tomorrow"}, 404),
        ({"path": "/Documents", "shareType": 3, "expireDate": "2001-01-01"}, 404),
    ],
)
def test_shares_that_can_not_be_are_refused(tmp_path: Path, fields: dict[str, Any], status: int) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        assert shares(office, "POST", data=fields)[:2] == (status, status)
        assert len(shares(office)[2]) == 1


def test_malformed_bodies_are_a_clients_error(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        kind = {"Content-Type": "application/json"}
        for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
            assert shares(office, "POST", data=body, headers=kind)[0] == 400
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        assert shares(office, "POST", data=b"--y", headers=broken)[0] == 400
        assert shares(office, "POST", data={"path": "a" * 2**21})[0] == 413
        assert shares(office, "PUT", 1, data={})[0] == 400
        for number in ("x", "-1", "9" * 40, "1%00"):
            assert shares(office, number=number)[0] == 404


def test_a_file_given_to_a_colleague_is_theirs_to_see_not_to_take_back(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        fields = {"path": "/Documents/deep/c.csv", "shareType": 0, "shareWith": "mike.chen@agentcompany.com"}
        _, code, made = shares(office, "POST", data=fields)
        assert (code, made["share_with"], made["share_with_displayname"]) == (200, "mike_chen", "Mike Chen")
        assert made["permissions"] == 19  # of a file: nothing can be made or deleted in it
        assert shares(office, "POST", data=fields)[1] == 403
        assert shares(office, auth=MIKE)[2] == []
        assert [s["id"] for s in shares(office, auth=MIKE, params={"shared_with_me": "true"})[2]] == [
            made["id"]
        ]
        assert shares(office, "DELETE", made["id"], auth=MIKE)[0] == 404
        assert shares(office, number=made["id"], auth=("sarah_johnson", "theagentcompany"))[0] == 404


def test_links_move_with_their_file_and_end_with_it(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        headers = {"Destination": f"{url}/remote.php/webdav/Archive_%"}
        requests.request(
            "MOVE", f"{url}/remote.php/webdav/Documents", auth=AGENT, headers=headers, timeout=30
        )
        assert requests.get(f"{url}/index.php/s/b61rG8gHESP84Na/download", timeout=30).text == "hello"
        assert shares(office)[2][0]["path"] == "/Archive_%/a b.txt"
        requests.put(f"{url}/remote.php/webdav/Archive_x/a", auth=AGENT, data=b"", timeout=30)
        requests.delete(f"{url}/remote.php/webdav/Archive_%25", auth=AGENT, timeout=30)
        assert shares(office)[2] == []
        assert requests.get(f"{url}/index.php/s/b61rG8gHESP84Na", timeout=30).status_code == 404


def test_tacs_way_to_download_finds_the_absolute_url_in_the_page(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        page = requests.get(f"{url}/index.php/s/b61rG8gHESP84Na", timeout=30).text
        found = re.findall(r'https?://[^\s]*\bdownload\b[^\s]*(?=")', page, re.MULTILINE)
        assert found[0] == f"{url}/index.php/s/b61rG8gHESP84Na/download"
        got = requests.get(found[0], timeout=30)
        assert got.text == "hello" and "attachment" in got.headers["Content-Disposition"]
        as_tac = {"Host": "the-agent-company.com:8092"}
        page = requests.get(f"{url}/index.php/s/b61rG8gHESP84Na", headers=as_tac, timeout=30).text
        assert 'href="http://the-agent-company.com:8092/index.php/s/b61rG8gHESP84Na/download"' in page


def test_a_folders_link_lists_it_and_gives_files_and_a_zip(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        made = shares(office, "POST", data={"path": "/Documents", "shareType": 3})[2]
        assert "deep/" in requests.get(made["url"], timeout=30).text
        assert "c.csv" in requests.get(made["url"], params={"path": "/deep"}, timeout=30).text
        one = requests.get(f"{made['url']}/download", params={"path": "/deep", "files": "c.csv"}, timeout=30)
        assert one.text == "x,y\n"
        whole = requests.get(f"{made['url']}/download", timeout=30)
        with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
            assert archive.testzip() is None
            assert archive.read("Documents/deep/c.csv") == b"x,y\n"
            assert archive.getinfo("Documents/a b.txt").date_time == (2026, 3, 2, 9, 0, 0)
        for path in ("/..", "/../..", "/deep/../../"):
            for page in (made["url"], f"{made['url']}/download"):
                assert requests.get(page, params={"path": path}, timeout=30).status_code == 400


def test_a_password_and_a_last_day_close_a_link(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        made = shares(
            office, "POST", data={"path": "/Documents/a b.txt", "shareType": 3, "password": "s3cret"}
        )[2]
        with requests.Session() as browser:
            assert "password-protected" in browser.get(made["url"], timeout=30).text
            assert browser.get(f"{made['url']}/download", timeout=30).text != "hello"
            wrong = browser.post(f"{made['url']}/authenticate", data={"password": "x"}, timeout=30)
            assert wrong.status_code == 403
            assert (
                "a b.txt"
                in browser.post(f"{made['url']}/authenticate", data={"password": "s3cret"}, timeout=30).text
            )
            assert browser.get(f"{made['url']}/download", timeout=30).text == "hello"
        end = "UPDATE drive_shares SET expires = '2026-01-01' WHERE id = ?"
        office.call(office.tenant.db.execute, end, (made["id"],))
        assert requests.get(made["url"], timeout=30).status_code == 404


def test_names_with_markup_are_shown_as_text(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        made = shares(office, "POST", data={"path": EVIL, "shareType": 3, "name": EVIL})[2]
        page = requests.get(made["url"], timeout=30)
        assert "<script>" not in page.text and "&lt;script&gt;" in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        hostile = requests.get(made["url"], headers={"Host": 'x"><script>'}, timeout=30)
        assert "<script>" not in hostile.text


def test_the_cloud_tells_who_and_what_it_is(tmp_path: Path) -> None:
    with served_office(tmp_path, OVERLAY) as office:
        url = office.urls["drive"]
        status = requests.get(f"{url}/status.php", timeout=30).json()
        assert (status["installed"], status["versionstring"]) == (True, "10.0.10")

        def cloud(path: str, auth: Any = AGENT, **params: str) -> Any:
            query = {"format": "json", **params}
            return requests.get(f"{url}/ocs/v2.php/cloud/{path}", params=query, auth=auth, timeout=30).json()[
                "ocs"
            ]

        assert cloud("capabilities")["data"]["capabilities"]["files_sharing"]["api_enabled"] is True
        assert cloud("user", MIKE)["data"] == {
            "id": "mike_chen",
            "display-name": "Mike Chen",
            "email": "mike.chen@agentcompany.com",
        }
        assert cloud("users", search="CHEN")["data"]["users"] == ["mike_chen"]
        assert cloud("users/mike_chen")["data"]["quota"]["used"] == 13
        assert cloud("users/nobody")["meta"]["statuscode"] == 404
        assert cloud("nothing")["meta"]["statuscode"] == 998
        wrong = requests.patch(f"{url}/ocs/v2.php/apps/files_sharing/api/v1/shares/1", auth=AGENT, timeout=30)
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "DELETE, GET, PUT")
