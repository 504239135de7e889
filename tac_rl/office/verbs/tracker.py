"""The tracker's client: Plane's REST API v1 as plain data (Plane's own documents, unless told otherwise)."""

from __future__ import annotations

import os

from .http import Missing, Problem, Web, quote
from .names import NoSuchName, pick, pick_person

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URL = "http://the-agent-company.com:8091"
KEY = "plane_api_83f868352c6f490aba59b869ffdae1cf"
WORKSPACE = "tac"
AGENT, AGENT_EMAIL = "theagentcompany", "agent@company.com"
"""The agent's own account: its username elsewhere, and its address here."""


def from_environment() -> Tracker:
    """The agent's own account at TAC's address, or what the environment says."""
    get = os.environ.get
    return Tracker(
        get("OFFICE_TRACKER_URL", URL),
        get("OFFICE_TRACKER_KEY", KEY),
        get("OFFICE_TRACKER_WORKSPACE", WORKSPACE),
    )


class Tracker:
    """A workspace of the tracker as the owner of one API key sees it."""

    def __init__(self, url: str = URL, key: str = KEY, workspace: str = WORKSPACE) -> None:
        self._web = Web(url, {"X-Api-Key": key})
        self._workspace = f"/api/v1/workspaces/{quote(workspace)}"

    def get(self, path: str, /, **query: Any) -> Any:
        return self._web.json("GET", self._workspace + path, query)

    def send(self, method: str, path: str, /, **body: Any) -> Any:
        return self._web.json(method, self._workspace + path, body=body or None)

    def all(self, path: str) -> list[dict[str, Any]]:
        """Every item of a list, whether it comes in pages or whole."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, per_page=100, cursor=cursor)
            if isinstance(page, list):
                return page
            items += page["results"]
            if not page.get("next_page_results"):
                return items
            cursor = page["next_cursor"]

    # Projects and what is in them. `kind` is the API's word: states, labels, cycles, modules, issues, members.

    def projects(self) -> list[dict[str, Any]]:
        return self.all("/projects/")

    def project(self, name: str) -> dict[str, Any]:
        """A project by its name or by the identifier that its issues' keys begin with."""
        projects = self.projects()
        try:
            return pick(
                name, "project", [(text, p) for p in projects for text in (p["name"], p["identifier"])]
            )
        except NoSuchName:
            raise NoSuchName("project", name, [p["name"] for p in projects]) from None

    def of(self, project: dict[str, Any], path: str) -> str:
        """The API's path of something in a project."""
        return f"/projects/{project['id']}/{path}"

    def listed(self, project: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        return self.all(self.of(project, f"{kind}/"))

    def named(self, project: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
        """The one state, label, cycle or module of that name."""
        return pick(
            name, kind.removesuffix("s"), [(item["name"], item) for item in self.listed(project, kind)]
        )

    def issue(self, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """A project and its issue, by a key such as FE-12."""
        identifier, _, number = key.strip().rpartition("-")
        if not identifier or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise Problem(f"an issue's key looks like FE-12, not {key!r}")
        project = self.project(identifier)
        try:
            found = self.get(f"/issues/{quote(project['identifier'])}-{int(number)}/")
        except Missing:
            keys = [f"{project['identifier']}-{i['sequence_id']}" for i in self.listed(project, "issues")]
            raise NoSuchName("issue", key, keys) from None
        return project, found

    def comments(self, project: dict[str, Any], issue: dict[str, Any]) -> list[dict[str, Any]]:
        """Oldest first."""
        found = self.all(self.of(project, f"issues/{issue['id']}/comments/"))
        return sorted(found, key=lambda comment: str(comment["created_at"]))

    def cycles(self, project: dict[str, Any]) -> list[dict[str, Any]]:
        """By their first day; those without one come last, by name."""
        return sorted(
            self.listed(project, "cycles"),
            key=lambda c: (not c["start_date"], c["start_date"] or "", c["name"]),
        )

    def cycle_issues(self, project: dict[str, Any], cycle: dict[str, Any]) -> list[dict[str, Any]]:
        return self.all(self.of(project, f"cycles/{cycle['id']}/cycle-issues/"))

    def cycles_of(self, project: dict[str, Any], issue: dict[str, Any]) -> list[str]:
        """Names of the cycles that an issue is in: the API tells it only from the cycles' side."""
        return [
            cycle["name"]
            for cycle in self.cycles(project)
            if any(item["id"] == issue["id"] for item in self.cycle_issues(project, cycle))
        ]

    # People

    def people(self) -> dict[str, dict[str, Any]]:
        """The workspace's members by the usernames that they have elsewhere in the office."""
        return {username_of(person): person for person in self.all("/members/")}

    def person(self, name: str) -> tuple[str, dict[str, Any]]:
        """The username and the record of somebody, by username, name or e-mail."""
        people = self.people()
        pairs = [(username, full_name(person)) for username, person in people.items()]
        emails = [(username, person["email"]) for username, person in people.items()]
        username = next((u for u, email in emails if email == name), None) or pick_person(name, pairs)
        return username, people[username]


def username_of(person: dict[str, Any]) -> str:
    """`first_last`, from the e-mail address: the tracker itself knows no usernames."""
    email = str(person["email"])
    return AGENT if email == AGENT_EMAIL else email.partition("@")[0].replace(".", "_")


def full_name(person: dict[str, Any]) -> str:
    return f"{person.get('first_name') or ''} {person.get('last_name') or ''}".strip()


# Texts are HTML in the tracker

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&nbsp;": " ", "&amp;": "&"}
_BLOCKS = ("/p", "/div", "/li", "/ul", "/ol", "/tr", "/pre", "/blockquote", "/h1", "/h2", "/h3", "/h4", "br")


def html_of(text: str) -> str:
    """A paragraph for each line."""
    for plain, entity in _ENTITIES.items():
        text = text.replace(plain, entity)
    return "".join(f"<p>{line}</p>" for line in text.splitlines())


def text_of(html: str | None) -> str:
    """What HTML says, without its tags; a line for each paragraph."""
    first, *rest = (html or "").split("<")
    text = first
    for part in rest:
        tag, _, after = part.partition(">")
        word = tag.strip().rstrip("/").split(" ")[0].lower()
        text += ("\n" if word in _BLOCKS else "") + after
    for entity, plain in _PLAIN.items():  # &amp; comes last
        text = text.replace(entity, plain)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
