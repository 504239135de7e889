"""The forge: projects with their history, issues, merge requests and the rest, through GitLab's API and git."""

import asyncio
import base64
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tac_rl.errors import OfficeError
from tac_rl.office.base import AGENT_CHAT, AGENT_FORGE, FORGE_TOKEN, PASSWORD
from tac_rl.office.importing.client import Api, Tell
from tac_rl.office.importing.history import History, Limits, read_history
from tac_rl.office.importing.people import People
from tac_rl.office.overlay import ForgeOverlay, ForgeProjectOverlay

PAGE = 100
CLONE_SECONDS = 1800.0
_LEVELS = {10: "guest", 20: "reporter", 30: "developer", 40: "maintainer", 50: "owner"}
_STATUSES = ("success", "failed", "running", "pending", "canceled")
Json = dict[str, Any]


async def import_forge(
    url: str,
    people: People,
    tell: Tell,
    *,
    token: str = FORGE_TOKEN,
    password: str = PASSWORD,
    only: Sequence[str] | None = None,
    most_commits: int = 500,
    most_bytes: int = 20 << 20,
) -> ForgeOverlay:
    """Every project that the token's owner sees (or `only` these); adds to `people` who has an account.

    Repositories are cloned as `root` with `password`.
    """
    async with Api("the forge", url, {"PRIVATE-TOKEN": token}) as api:
        reader = _Reader(api, people, tell, password, Limits(max(1, most_commits), most_bytes))
        async for user in reader.pages("/users"):
            reader.meet(user)
        projects = [p async for p in reader.pages("/projects", order_by="id", sort="asc")]
        if only is not None:
            missing = sorted(set(only) - {p["path_with_namespace"] for p in projects})
            if missing:
                raise OfficeError(f"the forge: there is no project {', '.join(missing)}")
            projects = [p for p in projects if p["path_with_namespace"] in only]
        overlays = []
        for project in projects:
            path = project["path_with_namespace"]
            if path.count("/") != 1:
                tell(f"forge: {path} is left out: only projects directly in a group can be taken over")
                continue
            overlays.append(await reader.project(project))
        return ForgeOverlay(projects=tuple(overlays))


class _Reader:
    def __init__(self, api: Api, people: People, tell: Tell, password: str, limits: Limits) -> None:
        self.api = api
        self.people = people
        self.tell = tell
        self.password = password
        self.limits = limits

    async def pages(self, path: str, *, absent: bool = False, **query: str | int) -> AsyncIterator[Json]:
        """Every item of a list; `absent`: a feature that the project doesn't have is an empty list."""
        page = "1"
        while page:
            _, headers, content = await self.api.send(
                "GET",
                f"/api/v4{path}",
                query={**query, "per_page": PAGE, "page": page},
                allowed=(403, 404) if absent else (),
            )
            items = self.api.parsed(path, content)
            for item in items if isinstance(items, list) else ():
                yield item
            page = headers.get("X-Next-Page", "")

    def meet(self, user: Json) -> str | None:
        """The office's username of an account; None for nobody."""
        if not user or not user.get("username"):
            return None
        return self.people.known(user["username"], user.get("email") or "") or self.people.add(
            user["username"],
            user.get("name") or "",
            user.get("email") or "",
            bio=user.get("bio") or "",
            title=user.get("job_title") or "",
            admin=bool(user.get("is_admin")),
        )

    def _who(self, users: Sequence[Json]) -> list[str]:
        return [name for user in users or () if (name := self.meet(user))]

    async def project(self, found: Json) -> ForgeProjectOverlay:
        path, base = found["path_with_namespace"], f"/projects/{found['id']}"
        listed = [
            mr async for mr in self.pages(f"{base}/merge_requests", state="all", scope="all", sort="asc")
        ]
        sources = {
            mr["sha"]: mr["source_branch"] for mr in listed if mr.get("sha") and mr["state"] == "merged"
        }
        default = found.get("default_branch") or "main"
        history = await self._history(path, default, sources)
        requests = [await self._merge_request(base, mr, history) for mr in listed]
        members = [m async for m in self.pages(f"{base}/members")]
        document = {
            "path": path,
            "description": found.get("description") or "",
            "default_branch": default,
            "visibility": found.get("visibility") or "private",
            "members": {str(self.meet(m)): _LEVELS[m["access_level"]] for m in members if m["access_level"] in _LEVELS},
            "commits": history.commits,
            "protected_branches": [b["name"] async for b in self.pages(f"{base}/protected_branches")],
            "labels": [
                {"name": label["name"], "color": label["color"], "description": label.get("description") or ""}
                async for label in self.pages(f"{base}/labels")
            ],
            "milestones": sorted([_milestone(m) async for m in self.pages(f"{base}/milestones")], key=_milestone_order),
            "issues": [
                await self._issue(base, issue)
                async for issue in self.pages(f"{base}/issues", absent=True, scope="all", sort="asc")
            ],
            "merge_requests": [request for request in requests if request is not None],
            "wiki": {
                page["title"]: page.get("content") or ""
                async for page in self.pages(f"{base}/wikis", absent=True, with_content=1)
            },
            "pipelines": await self._pipelines(base),
        }  # fmt: skip
        return ForgeProjectOverlay.model_validate(document)

    async def _history(self, path: str, default_branch: str, sources: dict[str, str]) -> History:
        with tempfile.TemporaryDirectory(prefix="tac-rl-clone-") as folder:
            target = Path(folder) / "repository.git"
            await _clone(f"{self.api.url}/{quote(path)}.git", target, self.password)
            return await asyncio.to_thread(
                read_history,
                target,
                default_branch,
                sources,
                self.people,
                self.limits,
                self.tell,
                f"forge: {path}",
            )

    async def _notes(self, path: str) -> list[Json]:
        """What people said, oldest first."""
        return [
            {
                "from": self.meet(note["author"]) or AGENT_CHAT,
                "text": note["body"],
                "at": _time(note["created_at"]),
            }
            async for note in self.pages(f"{path}/notes", sort="asc", order_by="created_at")
            if not note.get("system")
        ]

    async def _issue(self, base: str, issue: Json) -> Json:
        return {
            **self._common(issue),
            "state": issue["state"],
            "notes": await self._notes(f"{base}/issues/{issue['iid']}"),
        }

    async def _merge_request(self, base: str, request: Json, history: History) -> Json | None:
        source = request["source_branch"]
        if source not in history.branches:
            self.tell(
                f"forge: !{request['iid']} {request['title']!r} is left out: its branch {source} is gone"
            )
            return None
        state = request["state"]
        return {
            **self._common(request),
            "source_branch": source,
            "target_branch": request["target_branch"],
            "state": state if state in ("closed", "merged") else "opened",
            "remove_source_branch": source in history.removed,
            "reviewers": self._who(request.get("reviewers", ())),
            "notes": await self._notes(f"{base}/merge_requests/{request['iid']}"),
        }

    def _common(self, item: Json) -> Json:
        return {
            "iid": item["iid"],
            "title": item["title"],
            "description": item.get("description") or "",
            "from": self.meet(item["author"]) or AGENT_CHAT,
            "assignees": self._who(item.get("assignees", ())),
            "labels": item.get("labels", []),
            "milestone": (item.get("milestone") or {}).get("title"),
            "at": _time(item["created_at"]),
        }

    async def _pipelines(self, base: str) -> list[Json]:
        found = [p async for p in self.pages(f"{base}/pipelines", absent=True, order_by="id", sort="asc")]
        return [
            {"ref": p["ref"], "status": p["status"], "at": _time(p["created_at"])}
            for p in found
            if p["status"] in _STATUSES
        ]


def _milestone(milestone: Json) -> Json:
    return {
        "title": milestone["title"],
        "description": milestone.get("description") or "",
        "due": milestone.get("due_date"),
        "state": milestone["state"],
    }


def _milestone_order(milestone: Json) -> tuple[str, str]:
    return milestone["due"] or "", milestone["title"]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _clone(url: str, target: Path, password: str) -> None:
    """A bare copy with everything. The password is handed over by the environment, which others can't list."""
    account = base64.b64encode(f"{AGENT_FORGE}:{password}".encode()).decode()
    environment = os.environ | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {account}",
    }
    git = await asyncio.create_subprocess_exec(
        "git", "clone", "--quiet", "--mirror", "--", url, str(target),
        env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await asyncio.wait_for(git.communicate(), CLONE_SECONDS)
    except TimeoutError:
        raise OfficeError(f"the forge: cloning {url} took longer than {CLONE_SECONDS:.0f} s") from None
    finally:
        if git.returncode is None:
            git.kill()
            await git.wait()
    if git.returncode != 0:
        said = errors.decode("utf-8", "replace").strip()[-300:]
        raise OfficeError(f"the forge: {url} could not be cloned: {said}")
