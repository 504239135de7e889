"""The forge's pages, as a person without scripts uses them: links and forms."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import requests
from office_forge_helpers import OVERLAY, client, new_project
from office_helpers import ServedOffice, served_office

SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"


class Visitor:
    """A browser of the plainest kind; it may be signed in."""

    def __init__(self, office: ServedOffice, username: str = "") -> None:
        self.url = office.urls["forge"]
        self.session = requests.Session()
        if username:
            form = {"user[login]": username, "user[password]": "theagentcompany"}
            assert self.post("/users/sign_in", **form).status_code == 200

    def get(self, path: str, status: int = 200) -> str:
        answer = self.session.get(self.url + path, timeout=30)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[-300:]}"
        return answer.text

    def post(self, path: str, /, **form: str) -> requests.Response:
        return self.session.post(self.url + path, data=form, timeout=30)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedOffice]:
    with served_office(tmp_path_factory.mktemp("forge"), OVERLAY) as served:
        yield served


@pytest.fixture(scope="module")
def root(office: ServedOffice) -> Visitor:
    return Visitor(office, "root")


@pytest.fixture(scope="module")
def nobody(office: ServedOffice) -> Visitor:
    return Visitor(office)


PUBLIC = [
    "/", "/explore", "/root", "/root/atlas", "/root/atlas/-/tree/main", "/root/atlas/-/tree/feature/colour/src",
    "/root/atlas/-/blob/main/src/map.py", "/root/atlas/-/raw/main/src/map.py", "/root/atlas/-/commits/main",
    "/root/atlas/-/commits/feature/colour/src/map.py", "/root/atlas/-/branches", "/root/atlas/-/tags",
    "/root/atlas/-/releases", "/root/atlas/-/issues", "/root/atlas/-/issues/?sort=created_date&state=opened",
    "/root/atlas/-/issues/7", "/root/atlas/-/labels", "/root/atlas/-/milestones", "/root/atlas/-/milestones/1",
    "/root/atlas/-/merge_requests", "/root/atlas/-/merge_requests/1", "/root/atlas/-/merge_requests/1/diffs",
    "/root/atlas/-/wikis", "/root/atlas/-/wikis/pages", "/root/atlas/-/wikis/Home", "/root/atlas/-/wikis/How-to-draw",
    "/root/atlas/-/project_members", "/root/atlas/-/pipelines", "/root/atlas/-/pipelines/1", "/search?search=rivers",
    "/root/atlas/-/compare/main...feature%2Fcolour", "/root/atlas/-/archive/main/atlas-main.zip", "/users/sign_in",
    "/root/atlas/issues/7", "/root/atlas/tree/main/src",
]  # fmt: skip
MEMBERS = [
    "/root/atlas/-/issues/new", "/root/atlas/-/issues/7/edit", "/root/atlas/-/merge_requests/new",
    "/root/atlas/-/wikis/new", "/root/atlas/-/wikis/Home/edit", "/root/atlas/-/new/main", "/root/atlas/edit",
    "/root/atlas/-/edit/main/src/map.py", "/root/atlas/-/ci/editor", "/root/atlas/-/settings/repository",
    "/projects/new", "/root/atlas/-/branches/delete?name=feature%2Fcolour",
]  # fmt: skip


@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages_need_nobody_signed_in(nobody: Visitor, path: str) -> None:
    nobody.get(path)


@pytest.mark.parametrize("path", MEMBERS)
def test_other_pages_ask_to_sign_in(nobody: Visitor, root: Visitor, path: str) -> None:
    assert "Invalid login" not in nobody.get(path) and "<h1>Sign in</h1>" in nobody.get(path)
    assert "<h1>Sign in</h1>" not in root.get(path)


@pytest.mark.parametrize(
    "path", ["/vault/secret", "/vault/secret/-/issues/1", "/vault/secret/-/raw/main/treasure.txt"]
)
def test_private_pages_look_absent(office: ServedOffice, nobody: Visitor, root: Visitor, path: str) -> None:
    assert "Buried" not in nobody.get(path, 404)
    Visitor(office, "mike_chen").get(path, 404)
    root.get(path)


def test_pages_tell_what_is_there(nobody: Visitor) -> None:
    front = nobody.get("/root/atlas")
    assert "# Atlas" in front and "Maps &amp; &lt;charts&gt;" in front and "Draw rivers" in front
    assert "return &#39;map&#39;" in nobody.get("/root/atlas/-/blob/main/src/map.py")
    issue = nobody.get("/root/atlas/-/issues/7")
    assert "Rivers flow uphill" in issue and "Looking into it" in issue and "Alex Turner" in issue
    request = nobody.get("/root/atlas/-/merge_requests/1")
    assert "colour map" in request and "Try colours" in request
    assert "https://example.org/pens" in nobody.get("/root/atlas/-/wikis/How-to-draw")


def test_signing_in_and_out(office: ServedOffice) -> None:
    visitor = Visitor(office)
    wrong = visitor.post("/users/sign_in", **{"user[login]": "root", "user[password]": "no"})
    assert (wrong.status_code, "Invalid login or password." in wrong.text) == (401, True)
    visitor = Visitor(office, "alex.turner@agentcompany.com")
    assert 'Signed in as <a href="/alex_turner">Alex Turner</a>' in visitor.get("/")
    visitor.post("/users/sign_out")
    assert "Signed in as" not in visitor.get("/")


def test_a_session_that_is_made_up_is_nobodys(office: ServedOffice) -> None:
    visitor = Visitor(office)
    visitor.session.cookies.set("_gitlab_session", "root-token")
    assert "Signed in as" not in visitor.get("/")


def test_an_issue_is_made_commented_closed_and_edited_by_forms(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "forms")
    made = root.post(
        "/root/forms/-/issues", title="By hand", description="Text", labels="a, b", assignees="@alex_turner"
    )
    assert made.url.endswith("/root/forms/-/issues/1")
    root.post("/root/forms/-/issues/1/notes", note="A comment")
    root.post("/root/forms/-/issues/1/notes", note="And closed", state_event="close")
    issue = project.issues.get(1)
    assert (issue.state, issue.labels, issue.assignees[0]["username"]) == (
        "closed",
        ["a", "b"],
        "alex_turner",
    )
    assert [note.body for note in issue.notes.list(sort="asc")] == ["A comment", "And closed"]
    root.post("/root/forms/-/issues/1", title="Edited", labels="c", due_date="2026-09-01")
    root.post("/root/forms/-/issues/1", state_event="reopen")
    issue = project.issues.get(1)
    assert (issue.title, issue.labels, issue.due_date, issue.state) == (
        "Edited",
        ["c"],
        "2026-09-01",
        "opened",
    )
    assert root.post("/root/forms/-/issues", title="x", assignees="nobody").status_code == 400
    assert root.post("/root/forms/-/issues", title=" ").status_code == 400


def test_forms_respect_rights(office: ServedOffice) -> None:
    project = new_project(office, "guarded-forms")
    issue = project.issues.create({"title": "Mine"})
    mike = Visitor(office, "mike_chen")
    path = "/root/guarded-forms/-"
    assert mike.post(f"{path}/issues/{issue.iid}", state_event="close").status_code == 403
    assert (
        mike.post(f"{path}/files", branch="main", path="x", content="x", action="create").status_code == 403
    )
    assert mike.post(f"{path}/settings/repository", name="main", action="remove").status_code == 403
    assert (
        mike.post("/root/guarded-forms/edit", action="delete", confirm="root/guarded-forms").status_code
        == 403
    )
    assert mike.post(f"{path}/issues/{issue.iid}/notes", note="Hello").status_code == 200
    assert project.issues.get(issue.iid).state == "opened"


def test_files_branches_and_requests_by_forms(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "handmade")
    path = "/root/handmade/-"
    root.post(f"{path}/files", branch="main", path="docs/a b.md", content="one\r\ntwo", action="create")
    assert project.files.raw("docs/a b.md", "main") == b"one\ntwo"
    root.post(f"{path}/branches", name="topic", ref="main")
    edited = root.post(
        f"{path}/files", branch="topic", path="docs/a b.md", content="three", action="update", message="Third"
    )
    assert "three" in edited.text
    made = root.post(f"{path}/merge_requests", title="By form", source_branch="topic", target_branch="main")
    assert made.url.endswith("/merge_requests/1")
    assert "Merge status: mergeable" in made.text and "three" in made.text
    root.post(f"{path}/merge_requests/1/notes", note="Looks good")
    root.post(f"{path}/merge_requests/1/approve")
    merged = root.post(f"{path}/merge_requests/1/merge", remove_source_branch="1")
    assert "merged by" in merged.text and "Looks good" in merged.text
    assert [branch.name for branch in project.branches.list()] == ["main"]
    assert project.files.raw("docs/a b.md", "main") == b"three"
    root.post(f"{path}/branches", name="stale", ref="main")
    assert "permanently delete the branch" in root.get(f"{path}/branches/delete?name=stale")
    root.post(f"{path}/branches", name="stale", action="delete")
    assert [branch.name for branch in project.branches.list()] == ["main"]


def test_wiki_pages_by_forms(office: ServedOffice, root: Visitor, nobody: Visitor) -> None:
    project = new_project(office, "wikied")
    made = root.post("/root/wikied/-/wikis", title="HyperLogLog_project", content="The *hash*")
    assert made.url.endswith("/root/wikied/-/wikis/HyperLogLog_project")
    assert "The *hash*" in nobody.get("/root/wikied/-/wikis/HyperLogLog_project")
    root.post("/root/wikied/-/wikis/HyperLogLog_project", title="HyperLogLog_project", content="Changed")
    assert project.wikis.get("HyperLogLog_project").content == "Changed"
    root.post("/root/wikied/-/wikis/HyperLogLog_project", action="delete")
    nobody.get("/root/wikied/-/wikis/HyperLogLog_project", 404)


def test_settings_by_forms(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "settled")
    path = "/root/settled/-/settings/repository"
    root.post(path, name="main", push="no one", merge="developers", action="change")
    rule = project.protectedbranches.get("main")
    assert (rule.push_access_levels[0]["access_level"], rule.merge_access_levels[0]["access_level"]) == (
        0,
        30,
    )
    root.post("/root/settled/-/project_members", username="alex_turner", access_level="40")
    assert [one.access_level for one in project.members.list()] == [40]
    root.post("/root/settled/-/labels", name="new", color="#123456")
    root.post("/root/settled/-/milestones", title="M", due_date="2026-01-31")
    root.post("/root/settled/-/releases", tag="v1", name="One", description="first")
    assert (project.labels.list()[0].name, project.milestones.list()[0].due_date) == ("new", "2026-01-31")
    assert project.releases.get("v1").name == "One"
    root.post("/root/settled/edit", name="Settled down", description="calm", visibility="internal")
    found = client(office).projects.get(project.id)
    assert (found.name, found.description, found.visibility) == ("Settled down", "calm", "internal")
    assert root.post("/root/settled/edit", action="delete", confirm="no").status_code == 400
    root.post("/root/settled/edit", action="delete", confirm="root/settled")
    root.get("/root/settled", 404)


def test_a_ci_file_by_the_editor_makes_a_pipeline(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "edited-ci")
    form = {"branch": "main", "path": ".gitlab-ci.yml", "content": "job: {script: make}", "action": "create"}
    root.post("/root/edited-ci/-/files", **form)
    assert [one.status for one in project.pipelines.list()] == ["pending"]
    assert "Pipeline syntax is correct" in root.get("/root/edited-ci/-/ci/editor")
    assert "pending" in root.get("/root/edited-ci/-/pipelines")


class _Dangers(HTMLParser):
    """Collects what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "svg"):
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")


def test_script_in_every_text_is_shown_and_never_run(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "hostile", description=SCRIPT)
    link = f"javascript:alert(1) {SCRIPT}"
    project.files.create(
        {"file_path": "<b>x.md", "branch": "main", "content": link, "commit_message": f"{SCRIPT}\n\n{link}"}
    )
    project.files.update("README.md", {"branch": "main", "content": link, "commit_message": "x"})
    project.branches.create({"branch": "<script>x", "ref": "main"})
    project.tags.create({"tag_name": "<script>t", "ref": "main", "message": SCRIPT})
    project.labels.create({"name": SCRIPT, "color": "red", "description": SCRIPT})
    milestone = project.milestones.create({"title": SCRIPT, "description": link})
    issue = project.issues.create(
        {"title": SCRIPT, "description": link, "labels": [SCRIPT], "milestone_id": milestone.id}
    )
    issue.notes.create({"body": link})
    project.wikis.create({"title": "Wiki <b>", "content": link})
    project.releases.create({"tag_name": "<script>t", "name": SCRIPT, "description": link})
    project.commits.create(
        {
            "branch": "<script>x",
            "commit_message": SCRIPT,
            "author_name": SCRIPT,
            "author_email": "x@y.z",
            "actions": [{"action": "create", "file_path": "n", "content": SCRIPT}],
        }
    )
    project.mergerequests.create(
        {"source_branch": "<script>x", "target_branch": "main", "title": SCRIPT, "description": link}
    )
    shown = 0
    for path in [
        "", "/-/tree/main", "/-/blob/main/%3Cb%3Ex.md", "/-/commits/main", "/-/commits/%3Cscript%3Ex", "/-/branches",
        "/-/tags", "/-/releases", "/-/labels", "/-/milestones", "/-/milestones/1", "/-/issues", "/-/issues/1",
        "/-/issues/1/edit", "/-/merge_requests", "/-/merge_requests/1", "/-/wikis/pages", "/-/wikis/Wiki-%3Cb%3E",
        "/-/wikis/Wiki-%3Cb%3E/edit", "/edit", "/-/compare/main...%3Cscript%3Ex", "/-/settings/repository",
        "/-/merge_requests/new", "/-/edit/main/%3Cb%3Ex.md", "/-/branches/delete?name=%3Cscript%3Ex",
    ]:  # fmt: skip
        text = root.get(f"/root/hostile{path}")
        dangers = _Dangers()
        dangers.feed(text)
        assert dangers.found == [], path
        shown += "&lt;script&gt;" in text
    assert shown > 15
    for path in ("/search?search=<script>alert(1)</script>", "/<script>x", "/root/hostile/-/tree/<script>y"):
        dangers = _Dangers()
        dangers.feed(root.session.get(root.url + path, timeout=30).text)
        assert dangers.found == [], path


def test_raw_files_are_never_taken_for_pages(office: ServedOffice, root: Visitor) -> None:
    project = new_project(office, "rawness")
    project.files.create({"file_path": "x.html", "branch": "main", "content": SCRIPT, "commit_message": "x"})
    for url in (
        "/root/rawness/-/raw/main/x.html",
        "/api/v4/projects/root%2Frawness/repository/files/x.html/raw",
    ):
        answer = root.session.get(root.url + url, timeout=30)
        assert answer.text == SCRIPT
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_links_of_a_page_lead_somewhere(root: Visitor) -> None:
    links = set(re.findall(r'href="(/[^"]*)"', root.get("/root/atlas") + root.get("/root/atlas/-/issues/7")))
    assert len(links) > 15
    for link in sorted(links):
        root.get(link.replace("&amp;", "&"))
