"""The tracker's API as TAC's evaluators and careless clients use it; and how an overlay is laid over it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import PEOPLE
from tracker_helpers import served_tracker

from tac_rl.errors import OverlayError
from tac_rl.office.base import TRACKER_KEY
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.people import key_of

PROJECT_ID = "39ccbb74-8f1d-4259-8f75-df9ffbc9a962"
ISSUE_ID = "a063d05f-37cf-4f97-b10c-486acf13b138"
ALEX_ID = "2148bd98-f9e6-4637-848b-62bc6a63b675"
NOWHERE = "00000000-0000-4000-8000-000000000000"
PROJECT: dict[str, Any] = {
    "name": "Frontend Development",
    "identifier": "FE",
    "id": PROJECT_ID,
    "members": ["alex_turner", "sarah_johnson"],
    "labels": [{"name": "bug"}],
    "cycles": [{"name": "Sprint 1", "start": "2026-03-02", "end": "2026-03-15"}, {"name": "Sprint 2"}],
    "issues": [
        {
            "title": "Fix the menu",
            "id": ISSUE_ID,
            "number": 12,
            "state": "In Progress",
            "assignees": ["alex_turner"],
            "labels": ["bug"],
            "cycle": "Sprint 1",
            "from": "sarah_johnson",
            "at": "2026-02-01T10:00:00Z",
            "comments": [
                {"from": "alex_turner", "text": "On it <now>"},
                {"from": "sarah_johnson", "text": "Thanks"},
            ],
        },
        {"title": "Write tests"},
    ],
}
OVERLAY: dict[str, Any] = {"tracker": {"accounts": {"alex_turner": ALEX_ID}, "projects": [PROJECT]}}


class Client:
    """Requests with a key, to paths under the workspace."""

    def __init__(self, url: str, key: str | None = TRACKER_KEY) -> None:
        self.url = url
        self.http = requests.Session()
        if key is not None:
            self.http.headers["x-api-key"] = key

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        url = f"{self.url}/api/v1/workspaces/tac{path}"
        return self.http.request(method, url, timeout=20, allow_redirects=False, **options)

    def json(self, path: str) -> Any:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def results(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json(path)["results"]
        return found


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with served_tracker(tmp_path, OVERLAY) as office:
        yield Client(office.urls["tracker"])


ISSUES = f"/projects/{PROJECT_ID}/issues"


def test_every_read_of_tacs_evaluators_with_and_without_a_slash_at_the_end(client: Client) -> None:
    [project] = client.results("/projects/")
    assert (project["name"], project["id"]) == ("Frontend Development", PROJECT_ID)
    for slash in ("", "/"):
        issues = client.results(f"{ISSUES}{slash}")
        assert {issue["name"] for issue in issues} == {"Fix the menu", "Write tests"}
        menu = next(issue for issue in issues if issue["name"] == "Fix the menu")
        assert (menu["id"], menu["sequence_id"], menu["assignees"]) == (ISSUE_ID, 12, [ALEX_ID])
        states = {
            state["name"]: state["id"] for state in client.results(f"/projects/{PROJECT_ID}/states{slash}")
        }
        assert list(states) == ["Backlog", "Todo", "In Progress", "Done", "Cancelled"]
        state = client.json(f"/projects/{PROJECT_ID}/states/{menu['state']}{slash}")
        assert (state["name"], state["group"]) == ("In Progress", "started")
        # One evaluator joins an address that ends in a slash with a path that begins with one.
        cycles = client.results(f"/projects/{PROJECT_ID}//cycles{slash}")
        sprint = next(cycle for cycle in cycles if cycle["name"] == "Sprint 1")
        assert (sprint["start_date"], sprint["end_date"]) == ("2026-03-02", "2026-03-15")
        inside = client.results(f"/projects/{PROJECT_ID}/cycles/{sprint['id']}/cycle-issues{slash}")
        assert [issue["id"] for issue in inside] == [ISSUE_ID]


def test_tacs_hooks_create_an_issue_and_plan_it(client: Client) -> None:
    made = client("POST", f"{ISSUES}/", json={"name": "From a hook"})
    assert (made.status_code, made.json()["sequence_id"]) == (201, 14)
    cycle = client.results(f"/projects/{PROJECT_ID}/cycles")[0]["id"]
    path = f"/projects/{PROJECT_ID}/cycles/{cycle}/cycle-issues/"
    put = client("POST", path, json={"issues": [made.json()["id"]]})
    assert put.status_code == 200
    assert [bridge["issue"] for bridge in put.json()] == [made.json()["id"]]


def test_an_issue_is_found_by_its_number(client: Client) -> None:
    for path in ("/issues/FE-12", "/work-items/fe-12/"):
        assert client.json(path)["id"] == ISSUE_ID
    assert client("GET", "/issues/FE-999").status_code == 404
    assert client("GET", "/issues/FE-99999999999999999999").status_code == 404
    assert client("GET", "/issues/XX-1").status_code == 403


def test_fields_and_expand(client: Client) -> None:
    issue = client.json(f"{ISSUES}/{ISSUE_ID}?fields=id,state,assignees,labels&expand=state,assignees,labels")
    assert set(issue) == {"id", "state", "assignees", "labels"}
    assert (issue["state"]["name"], issue["labels"][0]["name"]) == ("In Progress", "bug")
    assert (issue["assignees"][0]["display_name"], issue["assignees"][0]["id"]) == ("alexturner", ALEX_ID)
    assert client.json(f"{ISSUES}/{ISSUE_ID}?expand=nothing,workspace")["workspace"]["slug"] == "tac"


def test_simple_filters(client: Client) -> None:
    def named(query: str) -> list[str]:
        return [issue["name"] for issue in client.results(f"{ISSUES}?{query}&order_by=name")]

    assert named(f"assignees={ALEX_ID}") == ["Fix the menu"]
    assert named("state_group=started,backlog") == ["Fix the menu", "Write tests"]
    assert named("name=TESTS") == ["Write tests"]
    assert named("priority=urgent") == []


def test_without_a_valid_key_nothing_is_shown(client: Client) -> None:
    bare = Client(client.url, None)
    assert bare("GET", "/projects").status_code == 401
    assert bare("GET", "/projects").json() == {"detail": "Authentication credentials were not provided."}
    for key in ("wrong", TRACKER_KEY.upper(), "' OR 1=1 --"):
        answer = Client(client.url, key)("GET", "/projects")
        assert (answer.status_code, answer.json()) == (403, {"detail": "Given API token is not valid"})
    assert bare("POST", f"{ISSUES}", json={"name": "x"}).status_code == 401
    assert requests.get(f"{client.url}/api/v1/users/me", timeout=10).status_code == 401


def test_people_may_do_what_their_role_in_the_project_allows(client: Client) -> None:
    alex, mike = (Client(client.url, key_of(name)) for name in ("alex_turner", "mike_chen"))
    assert alex("POST", ISSUES, json={"name": "Mine"}).status_code == 201
    assert alex("DELETE", f"{ISSUES}/{ISSUE_ID}").status_code == 403
    assert alex("DELETE", f"/projects/{PROJECT_ID}").status_code == 403
    refused = mike("GET", ISSUES)
    assert refused.status_code == 403
    assert refused.json() == {"detail": "You do not have permission to perform this action."}
    assert mike("GET", f"/projects/{PROJECT_ID}/").status_code == 200, "the project is public"
    joined = client("POST", f"/projects/{PROJECT_ID}/members", json={"email": "mike.chen@agentcompany.com"})
    assert (joined.status_code, joined.json()["display_name"]) == (201, "mikechen")
    assert mike("GET", ISSUES).status_code == 200


def test_assignees_who_are_not_members_are_left_out(client: Client) -> None:
    everybody = {person["display_name"]: person["id"] for person in client.json("/members")}
    chosen = [everybody["mikechen"], everybody["sarahjohnson"]]
    made = client("POST", ISSUES, json={"name": "For two", "assignees": chosen})
    assert made.json()["assignees"] == [everybody["sarahjohnson"]]


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, {"name"}),
        ({"name": ""}, {"name"}),
        ({"name": None}, {"name"}),
        ({"name": "x" * 256}, {"name"}),
        ({"name": "nul \x00"}, {"name"}),
        ({"name": "half \ud800"}, {"name"}),
        ({"name": ["a"]}, {"name"}),
        ({"name": "a", "priority": "very"}, {"priority"}),
        ({"name": "a", "priority": {}}, {"priority"}),
        ({"name": "a", "state": "no uuid"}, {"state"}),
        ({"name": "a", "state": NOWHERE}, {"state"}),
        ({"name": "a", "assignees": ALEX_ID}, {"assignees"}),
        ({"name": "a", "assignees": ["x"], "labels": [NOWHERE]}, {"assignees", "labels"}),
        ({"name": "a", "parent": 7}, {"parent"}),
        ({"name": "a", "point": 99}, {"point"}),
        ({"name": "a", "sort_order": 1e400}, {"sort_order"}),
        ({"name": "a", "start_date": "soon", "target_date": "2026-02-30"}, {"start_date", "target_date"}),
        ({"name": "a", "start_date": "2026-03-09", "target_date": "2026-03-02"}, {"non_field_errors"}),
        ([], {"non_field_errors"}),
        ("text", {"non_field_errors"}),
    ],
)
def test_each_wrong_field_is_named(client: Client, document: Any, fields: set[str]) -> None:
    body = json.dumps(document).replace("Infinity", "1e400")
    answer = client("POST", ISSUES, data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, set(answer.json())) == (400, fields), answer.text
    assert len(client.results(ISSUES)) == 2


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"name": NaN}', b"[" * 100_000, b"nope"])
def test_malformed_json_is_refused(client: Client, body: bytes) -> None:
    answer = client("POST", ISSUES, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("JSON parse error")


def test_other_bodies(client: Client) -> None:
    form = client("POST", ISSUES, data={"name": "From a form", "priority": "high"})
    assert (form.status_code, form.json()["priority"]) == (201, "high")
    other = client("POST", ISSUES, data=b"<x/>", headers={"Content-Type": "text/xml"})
    assert other.status_code == 415
    huge = client("POST", ISSUES, json={"name": "a", "description_html": "x" * 3_000_000})
    assert huge.status_code == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/not-a-uuid/issues", 404),
        ("/projects/../../../etc/passwd", 404),
        (f"/projects/{NOWHERE}", 404),
        (f"/projects/{NOWHERE}/issues", 403),
        (f"{ISSUES}/{NOWHERE}", 404),
        (f"{ISSUES}/{NOWHERE}/comments", 404),
        (f"/projects/{PROJECT_ID}/cycles/{NOWHERE}/cycle-issues", 404),
        (f"/projects/{PROJECT_ID}/states/{ISSUE_ID}", 404),
        (f"{ISSUES}?per_page=0", 400),
        (f"{ISSUES}?per_page=-1", 400),
        (f"{ISSUES}?per_page=2000", 400),
        (f"{ISSUES}?per_page=x", 400),
        (f"{ISSUES}?cursor=1:2", 400),
        (f"{ISSUES}?cursor=1000:-1:0", 400),
        (f"{ISSUES}?cursor=1000000000:1000000000:0", 400),
        (f"{ISSUES}?order_by=password", 400),
        (f"{ISSUES}?order_by=name;DROP TABLE people", 400),
        (f"{ISSUES}?filters=7", 400),
        (f"{ISSUES}?filters=" + "[" * 2000, 400),
        (f"{ISSUES}?filters=" + '{"not":' * 30 + "{}" + "}" * 30, 400),
        ("/nothing", 404),
    ],
)
def test_bad_paths_and_queries_are_the_callers_fault(client: Client, path: str, status: int) -> None:
    assert client("GET", path).status_code == status


def test_another_workspace_is_not_ours(client: Client) -> None:
    answer = client.http.get(f"{client.url}/api/v1/workspaces/acme/projects", timeout=10)
    assert answer.status_code == 403


def test_taken_names_and_identifiers(client: Client) -> None:
    same_name = client("POST", "/projects", json={"name": "Frontend Development", "identifier": "X"})
    assert (same_name.status_code, same_name.json()) == (410, {"name": "The project name is already taken"})
    same = client("POST", "/projects", json={"name": "Other", "identifier": "fe"})
    assert (same.status_code, set(same.json())) == (410, {"identifier"})
    state = client("POST", f"/projects/{PROJECT_ID}/states", json={"name": "Done", "color": "#000"})
    assert state.status_code == 409
    external = {"name": "a", "external_id": "7", "external_source": "forge"}
    assert client("POST", ISSUES, json=external).status_code == 201
    assert client("POST", ISSUES, json=external).status_code == 409
    found = client.json(f"{ISSUES}?external_id=7&external_source=forge")
    assert found["name"] == "a"


def test_an_issue_can_not_be_its_own_ancestor(client: Client) -> None:
    child = client("POST", ISSUES, json={"name": "child", "parent": ISSUE_ID}).json()["id"]
    for parent in (child, ISSUE_ID):
        answer = client("PATCH", f"{ISSUES}/{ISSUE_ID}", json={"parent": parent})
        assert answer.status_code == 400
    assert client("DELETE", f"{ISSUES}/{ISSUE_ID}").status_code == 204
    assert client.json(f"{ISSUES}/{child}")["parent"] is None


def test_a_deleted_project_takes_everything_with_it(client: Client) -> None:
    assert client("DELETE", f"/projects/{PROJECT_ID}/").status_code == 204
    assert client.results("/projects") == []
    assert client("GET", ISSUES).status_code == 403
    again = client("POST", "/projects", json={"name": "Frontend Development", "identifier": "FE"})
    assert again.status_code == 201


def test_attachments_are_bounded_and_need_a_known_issue(client: Client) -> None:
    path = f"{ISSUES}/{ISSUE_ID}/issue-attachments/"
    sent = client("POST", path, files={"asset": ("a.txt", b"hello")})
    assert (sent.status_code, sent.json()["attributes"]) == (200, {"name": "a.txt", "size": 5})
    assert client("POST", path, files={"asset": ("a.bin", b"x" * 6_000_000)}).status_code == 413
    assert client("POST", path, files={"wrong": ("a.txt", b"x")}).status_code == 400
    assert client("POST", path, json={"name": "a", "size": "big"}).status_code == 400
    again = requests.post(
        f"{client.url}/uploads/{sent.json()['id']}", files={"file": ("b.txt", b"other")}, timeout=10
    )
    assert again.status_code == 400, "a file that is there was replaced"
    assert requests.get(f"{client.url}/uploads/{NOWHERE}", timeout=10).status_code == 404
    assert requests.get(f"{client.url}/uploads/..%2F..%2Foffice.db", timeout=10).status_code == 404


def test_head_and_wrong_methods(client: Client) -> None:
    head = client("HEAD", "/projects/")
    assert (head.status_code, head.content) == (200, b"")
    wrong = client("PUT", f"/projects/{PROJECT_ID}")
    assert (wrong.status_code, bool(wrong.headers["Allow"])) == (405, True)


# Overlays


def tenant_of(folder: Path, *documents: dict[str, Any], seed: int = 0) -> Tenant:
    make_empty(folder)
    tenant = Tenant("laid", folder, seed=seed)
    lay_over(tenant, parse_overlay({"people": PEOPLE}, "people"))
    for document in documents:
        lay_over(tenant, parse_overlay({"tracker": document}, "the overlay"))
    return tenant


def test_the_same_seed_gives_the_same_tracker_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tenant_of(tmp_path / name, {"projects": [PROJECT]}, seed=7).close()
    first, second = ((tmp_path / name / "office.db").read_bytes() for name in ("a", "b"))
    assert first == second
    shutil.rmtree(tmp_path / "b")
    tenant_of(tmp_path / "b", {"projects": [PROJECT]}, seed=8).close()
    assert (tmp_path / "b" / "office.db").read_bytes() != first


def test_what_the_overlay_says_is_what_is_there(tmp_path: Path) -> None:
    tenant = tenant_of(tmp_path / "t", {"projects": [PROJECT]})
    issue = tenant.row("SELECT * FROM tracker_issues WHERE id = ?", ISSUE_ID)
    assert issue is not None
    assert (issue["sequence_id"], issue["created_by"]) == (12, "sarah_johnson")
    assert issue["created_at"] == "2026-02-01T10:00:00.000000Z"
    other = tenant.row("SELECT * FROM tracker_issues WHERE name = 'Write tests'")
    assert other is not None
    assert (other["sequence_id"], other["created_at"]) == (13, "2026-02-01T10:01:00.000000Z")
    comments = tenant.rows("SELECT * FROM tracker_comments ORDER BY created_at")
    assert [(c["actor"], c["comment_html"], c["created_at"][11:16]) for c in comments] == [
        ("alex_turner", "<p>On it &lt;now&gt;</p>", "10:01"),
        ("sarah_johnson", "<p>Thanks</p>", "10:02"),
    ]
    members = tenant.rows("SELECT username, role FROM tracker_members ORDER BY username")
    assert [tuple(row) for row in members] == [
        ("alex_turner", 15),
        ("sarah_johnson", 15),
        ("theagentcompany", 20),
    ]
    tenant.close()


def test_a_second_overlay_extends_and_replaces(tmp_path: Path) -> None:
    more = {
        "name": "Frontend Development",
        "description": "All that users see",
        "labels": [{"name": "bug", "color": "#111111"}],
        "states": [{"name": "In Review", "group": "started"}],
        "cycles": [{"name": "Sprint 1", "end": "2026-03-20", "start": "2026-03-02"}],
        "issues": [
            {"title": "Review it", "state": "In Review", "assignees": ["mike_chen"], "cycle": "Sprint 1"}
        ],
    }
    tenant = tenant_of(tmp_path / "t", {"projects": [PROJECT]}, {"projects": [more]})
    assert tenant.value("SELECT count(*) FROM tracker_projects") == 1
    assert tenant.value("SELECT description FROM tracker_projects") == "All that users see"
    assert tenant.value("SELECT identifier FROM tracker_projects") == "FE"
    assert tenant.rows("SELECT color FROM tracker_labels")[0]["color"] == "#111111"
    assert tenant.value("SELECT end_date FROM tracker_cycles WHERE name = 'Sprint 1'") == "2026-03-20"
    assert tenant.value("SELECT count(*) FROM tracker_cycle_issues") == 2
    assert tenant.value("SELECT sequence_id FROM tracker_issues WHERE name = 'Review it'") == 14
    assert tenant.value('SELECT name FROM tracker_states WHERE "default"') == "Backlog"
    assert tenant.value("SELECT role FROM tracker_members WHERE username = 'mike_chen'") == 15
    tenant.close()


def test_a_project_gets_an_identifier_from_its_name(tmp_path: Path) -> None:
    names = ["Data Platform", "Data Planning", "The Big Red One", "日本"]
    tenant = tenant_of(tmp_path / "t", {"projects": [{"name": name} for name in names]})
    rows = tenant.rows("SELECT identifier FROM tracker_projects ORDER BY rowid")
    assert [row["identifier"] for row in rows] == ["DATAP", "DATAP2", "TBRO", "P"]
    tenant.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": "7"}, "'7' is not a UUID"),
        ({"lead": "nobody_known"}, "nobody_known"),
        ({"members": ["nobody_known"]}, "nobody_known"),
        ({"cycles": [{"name": "S", "start": "2026-03-02"}]}, "cycle 'S'"),
        ({"cycles": [{"name": "S", "start": "soon", "end": "2026-03-02"}]}, "Date has wrong format"),
        ({"issues": [{"title": "A", "state": "Nope"}]}, "no state 'Nope' (there: Backlog"),
        ({"issues": [{"title": "A", "labels": ["nope"]}]}, "no label 'nope'"),
        ({"issues": [{"title": "A", "cycle": "Sprint 9"}]}, "no cycle 'Sprint 9'"),
        ({"issues": [{"title": "A", "assignees": ["nobody_known"]}]}, "nobody_known"),
        ({"issues": [{"title": "A", "number": 3}, {"title": "B", "number": 3}]}, "number 3 is taken by 'A'"),
        ({"issues": [{"title": "A", "id": ISSUE_ID}, {"title": "B", "id": ISSUE_ID}]}, "is taken"),
        ({"issues": [{"title": "x" * 300}]}, "255"),
        ({"issues": [{"title": "A", "start": "2026-03-09", "due": "2026-03-02"}]}, "Start date"),
    ],
)
def test_what_can_not_be_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    make_empty(tmp_path / "t")
    tenant = Tenant("laid", tmp_path / "t")
    lay_over(tenant, parse_overlay({"people": PEOPLE}, "people"))
    overlay = parse_overlay({"tracker": {"projects": [{"name": "P", **change}]}}, "the overlay")
    with pytest.raises(OverlayError) as caught:
        lay_over(tenant, overlay)
    assert named in str(caught.value) and "'P'" in str(caught.value)
    assert tenant.value("SELECT count(*) FROM tracker_projects") == 0, "half an overlay was laid"
    tenant.close()
