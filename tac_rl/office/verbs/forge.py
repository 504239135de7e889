"""The forge's client: GitLab's REST API v4 as plain data (GitLab's own documents)."""

from __future__ import annotations

import os

from .http import Missing, Web, as_query, quote
from .names import NoSuchName, pick, pick_person

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URL = "http://the-agent-company.com:8929"
USER, PASSWORD, TOKEN = "root", "theagentcompany", "root-token"
GROUP = "root"
"""Where a project is whose group isn't told."""


def from_environment() -> Forge:
    """The agent's own account at TAC's address, or what the environment says."""
    get = os.environ.get
    return Forge(
        get("OFFICE_FORGE_URL", URL),
        get("OFFICE_FORGE_TOKEN", TOKEN),
        get("OFFICE_FORGE_USER", USER),
        get("OFFICE_FORGE_PASSWORD", PASSWORD),
    )


class Forge:
    """The forge as the owner of one access token sees it."""

    def __init__(
        self, url: str = URL, token: str = TOKEN, user: str = USER, password: str = PASSWORD
    ) -> None:
        self.user = user
        self.password = password
        """Of the user: `git` asks for it."""
        self.web = Web(url, {"PRIVATE-TOKEN": token})

    def get(self, path: str, /, **query: Any) -> Any:
        return self.web.json("GET", f"/api/v4{path}", query)

    def send(self, method: str, path: str, /, **body: Any) -> Any:
        return self.web.json(method, f"/api/v4{path}", body=body)

    def all(self, path: str, /, **query: Any) -> list[Any]:
        """Every item of a list that comes in pages."""
        items: list[Any] = []
        page = "1"
        while page:
            target = f"/api/v4{path}" + as_query({"per_page": 100, **query, "page": page})
            answer = self.web.request("GET", target)
            items += self.web.document(answer, f"GET {target}")
            page = answer.headers.get("x-next-page", "")
        return items

    # Projects

    def projects(self) -> list[dict[str, Any]]:
        return self.all("/projects", simple="true", order_by="id", sort="asc")

    def project(self, name: str) -> dict[str, Any]:
        """A project by `group/name`, or by its name."""
        try:
            path = name if "/" in name else f"{GROUP}/{name}"
            found: dict[str, Any] = self.get(f"/projects/{quote(path)}")
            return found
        except Missing:
            named = [
                (name, project)
                for project in self.projects()
                for name in (project["path"], project["name"], project["path_with_namespace"])
            ]
            try:
                return self.project(pick(name, "project", named)["path_with_namespace"])
            except NoSuchName:
                raise NoSuchName("project", name, [p["path"] for _, p in named]) from None

    def of(self, project: dict[str, Any], path: str) -> str:
        """The API's path of something in a project."""
        return f"/projects/{project['id']}{path}"

    def issues(self, project: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        """In the order of their numbers (`iid`)."""
        found = self.all(self.of(project, "/issues"), **query)
        return sorted(found, key=lambda issue: int(issue["iid"]))

    def issue(self, project: dict[str, Any], number: int) -> dict[str, Any]:
        return self._numbered(project, "issues", "issue", number)

    def merge_requests(self, project: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        """In the order of their numbers (`iid`)."""
        found = self.all(self.of(project, "/merge_requests"), **query)
        return sorted(found, key=lambda request: int(request["iid"]))

    def merge_request(self, project: dict[str, Any], number: int) -> dict[str, Any]:
        return self._numbered(project, "merge_requests", "merge request", number)

    def notes(self, project: dict[str, Any], kind: str, number: int) -> list[dict[str, Any]]:
        """What people wrote under an issue (`kind` is "issues") or a merge request ("merge_requests"), oldest first."""
        found = self.all(
            self.of(project, f"/{kind}/{quote(str(number))}/notes"), sort="asc", order_by="created_at"
        )
        return [note for note in found if not note["system"]]

    def _numbered(self, project: dict[str, Any], kind: str, what: str, number: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.get(self.of(project, f"/{kind}/{quote(str(number))}"))
            return found
        except Missing:
            numbers = [str(item["iid"]) for item in self.all(self.of(project, f"/{kind}"), state="all")]
            raise NoSuchName(what, str(number), sorted(numbers, key=int)) from None

    # Repositories

    def branches(self, project: dict[str, Any]) -> list[dict[str, Any]]:
        return self.all(self.of(project, "/repository/branches"))

    def tree(self, project: dict[str, Any], path: str = "", ref: str | None = None) -> list[dict[str, Any]]:
        """The entries (`name`, `type` blob or tree) of a folder; [] in a repository without commits."""
        where = self.of(project, "/repository/tree")
        try:
            return self.all(where, path=path.strip("/") or None, ref=ref)
        except Missing:
            if path.strip("/"):
                raise self._no_such_file(project, path, ref) from None
            return []

    def file(self, project: dict[str, Any], path: str, ref: str | None = None) -> bytes:
        """A file's content at a branch, tag or commit (default: the default branch)."""
        where = self.of(project, f"/repository/files/{quote(path.strip('/'))}/raw")
        try:
            return self.web.request("GET", f"/api/v4{where}" + as_query({"ref": ref or "HEAD"})).body
        except Missing:
            raise self._no_such_file(project, path, ref) from None

    def _no_such_file(self, project: dict[str, Any], path: str, ref: str | None) -> NoSuchName:
        folder = path.strip("/").rpartition("/")[0]
        try:
            entries = self.all(self.of(project, "/repository/tree"), path=folder or None, ref=ref)
        except Missing:
            entries = []
        return NoSuchName("file", path, [entry["path"] for entry in entries])

    # People

    def person(self, name: str) -> dict[str, Any]:
        """Somebody (`id`, `username`, `name`, ...) by username or name."""
        found = self.get("/users", username=name.lstrip("@"))
        if not found:
            people = self.all("/users")
            username = pick_person(name, [(p["username"], p["name"]) for p in people])
            found = [person for person in people if person["username"] == username]
        person: dict[str, Any] = found[0]
        return person
