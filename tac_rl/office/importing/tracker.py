"""The tracker: projects with states, labels, cycles, modules, issues and comments, through Plane's API."""

from collections.abc import AsyncIterator
from datetime import datetime
from html import unescape
from typing import Any

from tac_rl.office.base import TRACKER_KEY, TRACKER_WORKSPACE
from tac_rl.office.importing.client import Api, Tell
from tac_rl.office.importing.people import People
from tac_rl.office.overlay import NoteOverlay, TrackerIssueOverlay, TrackerOverlay, TrackerProjectOverlay
from tac_rl.office.tracker.records import html_of_text

PAGE = 100
Json = dict[str, Any]


async def import_tracker(
    url: str, people: People, tell: Tell, *, key: str = TRACKER_KEY, workspace: str = TRACKER_WORKSPACE
) -> TrackerOverlay:
    """The workspace's projects; adds to `people` who is in it."""
    async with Api("the tracker", url, {"x-api-key": key}) as api:
        reader = _Reader(api, f"/api/v1/workspaces/{workspace}", people, tell)
        for member in await reader.listed("/members/"):
            reader.meet(member)
        projects = [await reader.project(found) async for found in reader.pages("/projects/")]
        return TrackerOverlay(
            accounts={username: uuid for uuid, username in sorted(reader.names.items())},
            projects=tuple(projects),
        )


class _Reader:
    def __init__(self, api: Api, base: str, people: People, tell: Tell) -> None:
        self.api = api
        self.base = base
        self.people = people
        self.tell = tell
        self.names: dict[str, str] = {}
        """UUID of an account -> username."""

    async def listed(self, path: str) -> list[Json]:
        """An answer that is a list, or a page of one."""
        document = await self.api.json(self.base + path)
        return document if isinstance(document, list) else document.get("results", [])

    async def pages(self, path: str) -> AsyncIterator[Json]:
        """Every item, page after page."""
        query: dict[str, str | int] = {"per_page": PAGE}
        while True:
            document = await self.api.json(self.base + path, query=query)
            items = document if isinstance(document, list) else document.get("results", [])
            for item in items:
                yield item
            if isinstance(document, list) or not document.get("next_page_results"):
                return
            query["cursor"] = document["next_cursor"]

    def meet(self, member: Json) -> None:
        user = member.get("member") if isinstance(member.get("member"), dict) else member
        assert isinstance(user, dict)
        name = f"{user.get('first_name', '')} {user.get('last_name', '')}".strip()
        email = user.get("email") or ""
        local = email.partition("@")[0].replace(".", "_")
        username = self.people.known(email, email, name) or self.people.add(
            email if "@" not in email else local or user["display_name"], name, email
        )
        self.names[user["id"]] = username

    async def project(self, found: Json) -> TrackerProjectOverlay:
        path = f"/projects/{found['id']}"
        states = [s async for s in self.pages(f"{path}/states/")]
        labels = [label async for label in self.pages(f"{path}/labels/")]
        cycles = [cycle async for cycle in self.pages(f"{path}/cycles/")]
        modules = [module async for module in self.pages(f"{path}/modules/")]
        planned = await self._planned(path, "cycles", "cycle-issues", cycles)
        grouped = await self._planned(path, "modules", "module-issues", modules)
        names = {item["id"]: item["name"] for item in (*states, *labels)}
        issues = [issue async for issue in self.pages(f"{path}/issues/")]
        issues.sort(key=lambda issue: issue["sequence_id"])
        members = {
            self.names[m["id"]] for m in await self.listed(f"{path}/members/") if m["id"] in self.names
        }
        return TrackerProjectOverlay.model_validate(
            {
                "name": found["name"],
                "identifier": found["identifier"],
                "id": found["id"],
                "description": found.get("description") or "",
                "lead": self.names.get(found.get("project_lead") or ""),
                "members": sorted(members) or "everyone",
                "states": [
                    {key: state[key] for key in ("name", "group", "color", "default", "id")}
                    for state in sorted(states, key=lambda s: (s.get("sequence", 0), s["name"]))
                ],
                "labels": [
                    {"name": label["name"], "color": label.get("color") or "#60646C",
                     "description": label.get("description") or ""}
                    for label in sorted(labels, key=lambda label: label["name"])
                ],
                "cycles": [_cycle(c) for c in sorted(cycles, key=lambda c: (c.get("start_date") or "", c["name"]))],
                "modules": [_module(m) for m in sorted(modules, key=lambda m: m["name"])],
                "issues": [await self._issue(path, issue, names, planned, grouped) for issue in issues],
            }
        )  # fmt: skip

    async def _planned(self, path: str, kind: str, of: str, things: list[Json]) -> dict[str, str]:
        """UUID of an issue -> name of the cycle or module it is in."""
        found: dict[str, str] = {}
        for thing in things:
            async for entry in self.pages(f"{path}/{kind}/{thing['id']}/{of}/"):
                issue = entry.get("issue") or entry["id"]
                if issue in found:
                    self.tell(
                        f"tracker: an issue is in two {kind}; {found[issue]!r} stays, {thing['name']!r} is left"
                    )
                found.setdefault(issue if isinstance(issue, str) else issue["id"], thing["name"])
        return found

    async def _issue(
        self, path: str, issue: Json, names: Json, planned: dict[str, str], grouped: dict[str, str]
    ) -> TrackerIssueOverlay:
        comments = [
            self._comment(comment) async for comment in self.pages(f"{path}/issues/{issue['id']}/comments/")
        ]
        return TrackerIssueOverlay.model_validate(
            {
                "title": issue["name"],
                "id": issue["id"],
                "number": issue["sequence_id"],
                "description": _text(issue.get("description_html") or ""),
                "state": names.get(issue.get("state") or ""),
                "priority": issue.get("priority") or "none",
                "from": self.names.get(issue.get("created_by") or "", "theagentcompany"),
                "assignees": [self.names[a] for a in issue.get("assignees", ()) if a in self.names],
                "labels": [names[label] for label in issue.get("labels", ()) if label in names],
                "cycle": planned.get(issue["id"]),
                "module": grouped.get(issue["id"]),
                "start": issue.get("start_date"),
                "due": issue.get("target_date"),
                "at": datetime.fromisoformat(issue["created_at"]),
                "comments": sorted(comments, key=lambda comment: str(comment.at)),
            }
        )

    def _comment(self, comment: Json) -> NoteOverlay:
        author = self.names.get(comment.get("actor") or comment.get("created_by") or "", "theagentcompany")
        at = datetime.fromisoformat(comment["created_at"])
        text = _text(comment.get("comment_html") or "")
        return NoteOverlay.model_validate({"from": author, "text": text, "at": at})


def _cycle(cycle: Json) -> Json:
    return {
        "name": cycle["name"],
        "id": cycle["id"],
        "start": (cycle.get("start_date") or "")[:10] or None,
        "end": (cycle.get("end_date") or "")[:10] or None,
        "description": cycle.get("description") or "",
    }


def _module(module: Json) -> Json:
    keys = ("name", "id", "status")
    return {**{key: module[key] for key in keys}, "description": module.get("description") or ""}


def _text(html: str) -> str:
    """Plain text where nothing is lost by it, else the HTML as it stands."""
    blocks = html.removeprefix("<p>").removesuffix("</p>").replace("</p><p>", "\n\n").replace("<br/>", "\n")
    text = unescape(blocks)
    return text if html_of_text(text) == html else html
