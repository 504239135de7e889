"""Wrong credentials, malformed requests, paths that lead out: one clear refusal in GitLab's shape each."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from office_forge_helpers import OVERLAY, client, new_project, token
from office_helpers import ServedOffice, served_office

ROOT = {"PRIVATE-TOKEN": "root-token"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("forge"), OVERLAY) as served:
        yield served


def ask(office: ServedOffice, method: str, path: str, **more: Any) -> requests.Response:
    more.setdefault("headers", ROOT)
    return requests.request(method, f"{office.urls['forge']}/api/v4{path}", timeout=30, **more)


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"PRIVATE-TOKEN": "wrong"}},
        {"headers": {"Authorization": "Bearer wrong"}},
        {"headers": {"Authorization": "Basic !!!"}},
        {"headers": {}, "params": {"private_token": "wrong"}},
        {"headers": {"PRIVATE-TOKEN": "ümlaut".encode("latin-1")}},
    ],
)
def test_wrong_credentials_are_refused_even_where_none_are_needed(
    office: ServedOffice, given: dict[str, Any]
) -> None:
    answer = ask(office, "GET", "/projects/root%2Fatlas", **given)
    assert answer.status_code == 401
    assert answer.json().get("message", "401 Unauthorized") == "401 Unauthorized"


def test_credentials_come_in_every_way(office: ServedOffice) -> None:
    oauth = token(office, "alex_turner")
    for headers, params, name in (
        (ROOT, {}, "root"),
        ({"Authorization": "Bearer root-token"}, {}, "root"),
        ({}, {"private_token": "root-token"}, "root"),
        ({}, {"access_token": oauth}, "alex_turner"),
        ({"Authorization": f"Bearer {oauth}"}, {}, "alex_turner"),
    ):
        assert ask(office, "GET", "/user", headers=headers, params=params).json()["username"] == name
    session = requests.Session()
    form = {"user[login]": "alex_turner", "user[password]": "theagentcompany"}
    session.post(f"{office.urls['forge']}/users/sign_in", data=form, timeout=30)
    assert session.get(f"{office.urls['forge']}/api/v4/user", timeout=30).json()["username"] == "alex_turner"


@pytest.mark.parametrize(
    "given",
    [
        {"grant_type": "password", "username": "root", "password": "wrong"},
        {"grant_type": "password", "username": "ghost", "password": "theagentcompany"},
    ],
)
def test_the_password_grant_refuses_wrong_accounts(office: ServedOffice, given: dict[str, str]) -> None:
    answer = requests.post(f"{office.urls['forge']}/oauth/token", data=given, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")


def test_an_expired_token_is_refused(office: ServedOffice) -> None:
    given = token(office, "mike_chen")
    past = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    office.call(
        office.tenant.db.execute, "UPDATE forge_tokens SET expires_at = ? WHERE token = ?", (past, given)
    )
    answer = ask(office, "GET", "/user", headers={"Authorization": f"Bearer {given}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("GET", "/user", None),
        ("POST", "/projects", {"name": "x"}),
        ("POST", "/projects/root%2Fatlas/issues", {"title": "x"}),
        ("PUT", "/projects/root%2Fatlas/issues/7", {"title": "x"}),
        ("POST", "/projects/root%2Fatlas/issues/7/notes", {"body": "x"}),
        ("DELETE", "/projects/root%2Fatlas", None),
        ("GET", "/projects/root%2Fatlas/protected_branches", None),
        ("GET", "/search?scope=projects&search=x", None),
    ],
)
def test_writing_needs_somebody(office: ServedOffice, method: str, path: str, given: Any) -> None:
    answer = ask(office, method, path, json=given, headers={})
    assert (answer.status_code, answer.json()) == (401, {"message": "401 Unauthorized"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "could not be parsed"),
        (b"[1]", "must be an object"),
        (b'"x"', "must be an object"),
        (b"\xff\xfe", "could not be parsed"),
        (b"[" * 100_000, "could not be parsed"),
        (b"{}", "title is missing"),
        (b'{"title": null}', "title is invalid"),
        (b'{"title": {"a": 1}}', "title is invalid"),
        (b'{"title": "\\ud800"}', "Unicode"),
        (b'{"title": "a\\u0000b"}', "null byte"),
        (b'{"title": "x", "milestone_id": 1e400}', "milestone_id is invalid"),
        (b'{"title": "x", "milestone_id": 99999999999999999999}', "milestone_id is invalid"),
        (b'{"title": "x", "due_date": "tomorrow"}', "due_date is invalid"),
        (b'{"title": "x", "assignee_ids": "a"}', "assignee_ids[0] is invalid"),
    ],
)
def test_malformed_bodies_are_told(office: ServedOffice, body: bytes, said: str) -> None:
    headers = {**ROOT, "Content-Type": "application/json"}
    answer = ask(office, "POST", "/projects/root%2Fatlas/issues", data=body, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_text_may_speak_of_null_bytes(office: ServedOffice) -> None:
    project = new_project(office, "nulls")
    title = "what about \\u0000 and \\\\u0000?"
    assert project.issues.create({"title": title}).title == title


def test_titles_have_limits(office: ServedOffice) -> None:
    blank = ask(office, "POST", "/projects/root%2Fatlas/issues", json={"title": "  "})
    assert (blank.status_code, blank.json()) == (400, {"message": {"title": ["can't be blank"]}})
    long = ask(office, "POST", "/projects/root%2Fatlas/issues", json={"title": "x" * 256})
    assert "too long" in long.json()["message"]["title"][0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/99999", 404),
        ("/projects/99999999999999999999999", 404),
        ("/projects/root%2Fnothing", 404),
        ("/projects/..%2F..%2Fetc", 404),
        ("/projects/root%2Fatlas/issues/999", 404),
        ("/projects/root%2Fatlas/issues/x", 400),
        ("/projects/root%2Fatlas/issues/-1", 400),
        ("/projects/root%2Fatlas/issues/99999999999999999999", 400),
        ("/projects/root%2Fatlas/issues?state=half", 400),
        ("/projects/root%2Fatlas/issues?page=0", 400),
        ("/projects/root%2Fatlas/issues?page=99999999999999999999", 400),
        ("/projects/root%2Fatlas/issues?created_after=yesterday", 400),
        ("/projects/root%2Fatlas/issues?created_after=9999-12-31T23:59:59-12:00", 200),
        ("/projects/root%2Fatlas/issues?search=%00", 400),
        ("/projects/root%2Fatlas%00", 400),
        ("/projects/root%2Fatlas/repository/tree?ref=no", 404),
        ("/projects/root%2Fatlas/repository/tree?path=..%2F..", 404),
        ("/projects/root%2Fatlas/repository/files/..%2F..%2Foffice.db/raw?ref=main", 404),
        ("/projects/root%2Fatlas/repository/files/%2Fetc%2Fpasswd/raw?ref=main", 404),
        ("/projects/root%2Fatlas/repository/files/README.md/raw?ref=..%2Fconfig", 404),
        ("/projects/root%2Fatlas/repository/files/README.md/raw?ref=main~99999999999", 404),
        ("/projects/root%2Fatlas/repository/commits/%3A%2Fx", 404),
        ("/projects/root%2Fatlas/repository/commits/main%40%7B1%7D", 404),
        ("/projects/root%2Fatlas/repository/branches/..%2F..%2FHEAD", 404),
        ("/projects/root%2Fatlas/repository/blobs/..%2F..%2Fconfig", 404),
        ("/projects/root%2Fatlas/repository/archive.zip?sha=--output=x", 404),
        ("/projects/root%2Fatlas/repository/archive.zip?path=--output%3Dx", 404),
        ("/projects/root%2Fatlas/repository/archive.exe", 400),
        ("/users/-1", 404),
        ("/nothing", 404),
        ("/projects?min_access_level=99999999999999999999", 400),
    ],
)
def test_what_is_not_there_or_not_sense_is_told(office: ServedOffice, path: str, status: int) -> None:
    answer = ask(office, "GET", path)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert set(answer.json()) & {"message", "error"}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/x/../../y",
        ".git/config",
        "a/.GIT/hooks/x",
        "a//b",
        ".",
        "a/./b",
        "a\\b",
        ".g\u200cit/x",
        "x\ny",
        "git~1/x",
    ],
)
def test_files_stay_inside_of_the_tree(office: ServedOffice, path: str) -> None:
    given = {
        "branch": "main",
        "commit_message": "x",
        "actions": [{"action": "create", "file_path": path, "content": "x"}],
    }
    answer = ask(office, "POST", "/projects/root%2Fatlas/repository/commits", json=given)
    assert answer.status_code == 400
    assert "path" in answer.json()["message"]


@pytest.mark.parametrize(
    "term", ["'; DROP TABLE forge_issuables; --", "%", "_", "\\", '"', "' OR '1'='1", "*", "("]
)
def test_search_terms_are_only_text(office: ServedOffice, term: str) -> None:
    for path in ("/projects", "/projects/root%2Fatlas/issues"):
        answer = ask(office, "GET", path, params={"search": term})
        assert (answer.status_code, answer.json()) == (200, [])
    labelled = ask(
        office, "GET", "/projects/root%2Fatlas/issues", params={"labels": term, "author_username": term}
    )
    assert labelled.json() == []


def test_bodies_have_a_limit(office: ServedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tac_rl.office.forge.web.LARGEST_BODY", 10_000)
    big = {"title": "x", "description": "x" * 20_000}
    for sent in (
        {"json": big},
        {"data": iter([json.dumps(big).encode()])},
        {"data": big},
        {"files": {"title": "x" * 20_000}},
    ):
        assert ask(office, "POST", "/projects/root%2Fatlas/issues", **sent).status_code == 413  # type: ignore[arg-type]


def test_an_avatar_must_be_a_small_picture(office: ServedOffice) -> None:
    for name, content in (("x.png", bytes(300 << 10)), ("x.html", b"<script>"), ("x.svg", b"<svg/>")):
        answer = ask(office, "PUT", "/projects/root%2Fatlas", files={"avatar": (name, content)})
        assert answer.status_code == 400
    assert client(office).projects.get("root/atlas").avatar_url is None


def test_levels_are_not_given_by_who_lacks_them(office: ServedOffice) -> None:
    project = new_project(office, "ladder")
    sarah = client(office).users.list(username="sarah_johnson")[0].id
    mike = client(office).users.list(username="mike_chen")[0].id
    project.members.create({"user_id": sarah, "access_level": 40})
    headers = {"Authorization": f"Bearer {token(office, 'sarah_johnson')}"}
    url = f"/projects/{project.id}/members"
    too_high = ask(office, "POST", url, json={"user_id": mike, "access_level": 50}, headers=headers)
    made_up = ask(office, "POST", url, json={"user_id": mike, "access_level": 45}, headers=headers)
    fine = ask(office, "POST", url, json={"user_id": mike, "access_level": 30}, headers=headers)
    assert (too_high.status_code, made_up.status_code, fine.status_code) == (403, 400, 201)
    assert ask(office, "DELETE", f"/projects/{project.id}", headers=headers).status_code == 403


def test_confidential_issues_are_hidden_from_outsiders(office: ServedOffice) -> None:
    project = new_project(office, "hush")
    hidden = project.issues.create({"title": "Psst", "confidential": True})
    mike = client(office, "mike_chen").projects.get(project.id)
    assert mike.issues.list() == []
    url = f"/projects/{project.id}/issues/{hidden.iid}"
    headers = {"Authorization": f"Bearer {token(office, 'mike_chen')}"}
    for path in (url, f"{url}/notes"):
        assert ask(office, "GET", path, headers=headers).status_code == 404
    page = requests.get(f"{office.urls['forge']}/root/hush/-/issues/{hidden.iid}", timeout=30)
    assert page.status_code == 404 and "Psst" not in page.text
    assert client(office, "mike_chen").search("issues", "Psst") == []


def test_the_openapi_document_names_every_answer(office: ServedOffice) -> None:
    document = requests.get(f"{office.urls['forge']}/openapi.json", timeout=30).json()
    operations = [
        operation
        for path in document["paths"].values()
        for operation in path.values()
        if "responses" in operation
    ]
    assert len(operations) > 130
    for operation in operations:
        answers = set(operation["responses"])
        assert answers & {"200", "201", "202", "204"}
        assert {"400", "401", "403", "404"} <= answers
