"""The verbs of the forge: projects, issues, members; `forge_code_verbs` adds the rest."""

from __future__ import annotations

from .forge import GROUP, Forge, from_environment
from .names import NoSuchName, first_line, pick
from .table import Verbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = {"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50}

VERBS = Verbs(
    "forge",
    "The company's git forge: projects, issues, merge requests.",
    {
        "PROJECT": "a project's name, such as api-server or root/api-server",
        "N": "the number of the issue or merge request",
        "STATE": "opened (the default), closed, merged or all",
        "LABEL": "a label",
        "TITLE": "a title, any words",
        "TEXT": "any words",
        "PERSON": "a username such as alex_turner, or a name",
        "NAME": "a name",
        "REF": "a branch, tag or commit (default: the default branch)",
        "PATH": "a path in the repository",
        "SOURCE": "the branch that is to be merged",
        "LEVEL": "guest, reporter, developer, maintainer or owner",
        "BRANCH": "a branch's name",
        "TAG": "a tag that is there",
        "PAGE": "a wiki page's title (hyphens do for spaces)",
        "FOLDER": "where to (default: the project's name)",
    },
    from_environment,
)


@VERBS.verb("projects [TEXT...]", "all projects, or those whose line has the text")
def projects(forge: Forge, text: str | None = None) -> list[str]:
    lines = []
    for project in forge.projects():
        about = first_line(project.get("description"))
        lines.append(
            project["path_with_namespace"].removeprefix(f"{GROUP}/") + (f": {about}" if about else "")
        )
    return [line for line in lines if (text or "").casefold() in line.casefold()]


@VERBS.verb("issues PROJECT [STATE] [LABEL...]", "number and title of the open issues (that have a label)")
def issues(forge: Forge, project: str, state: str | None = None, label: str | None = None) -> list[str]:
    if state is not None and state not in ("opened", "closed", "all"):
        if state == "open":
            state = "opened"
        else:  # the state was left out
            state, label = None, f"{state} {label}" if label else state
    found = forge.project(project)
    if label is not None:
        label = _label(forge, found, label)
    listed = forge.issues(found, state=state or "opened", labels=label)
    return [one_line(issue, state == "all") for issue in listed]


@VERBS.verb("issue PROJECT N", "an issue: title, state, labels, assignee, description, comments")
def issue(forge: Forge, project: str, n: int) -> list[str]:
    found = forge.project(project)
    shown = forge.issue(found, n)
    return [*fields_of(shown), *notes_of(forge, found, "issues", n)]


@VERBS.verb("create PROJECT TITLE...", "open an issue")
def create(forge: Forge, project: str, title: str) -> str:
    made = forge.send("POST", forge.of(forge.project(project), "/issues"), title=title)
    return f"created {made['iid']}"


@VERBS.verb("describe PROJECT N TEXT...", "set an issue's description")
def describe(forge: Forge, project: str, n: int, text: str) -> str:
    _change(forge, forge.project(project), n, description=text)
    return f"described {n}"


@VERBS.verb("title PROJECT N TEXT...", "set an issue's title")
def title(forge: Forge, project: str, n: int, text: str) -> str:
    _change(forge, forge.project(project), n, title=text)
    return f"title of {n}: {text}"


@VERBS.verb("close PROJECT N", "close an issue")
def close(forge: Forge, project: str, n: int) -> str:
    _change(forge, forge.project(project), n, state_event="close")
    return f"closed {n}"


@VERBS.verb("reopen PROJECT N", "open a closed issue again")
def reopen(forge: Forge, project: str, n: int) -> str:
    _change(forge, forge.project(project), n, state_event="reopen")
    return f"opened {n}"


@VERBS.verb("comment PROJECT N TEXT...", "write under an issue")
def comment(forge: Forge, project: str, n: int, text: str) -> str:
    found = forge.project(project)
    forge.issue(found, n)
    forge.send("POST", forge.of(found, f"/issues/{n}/notes"), body=text)
    return f"commented on {n}"


@VERBS.verb("label PROJECT N LABEL...", "add a label to an issue")
def label(forge: Forge, project: str, n: int, label: str) -> str:
    found = forge.project(project)
    label = _label(forge, found, label, or_new=True)
    changed = _change(forge, found, n, add_labels=label)
    return f"labels of {n}: {', '.join(changed['labels'])}"


@VERBS.verb("unlabel PROJECT N LABEL...", "take a label off an issue")
def unlabel(forge: Forge, project: str, n: int, label: str) -> str:
    found = forge.project(project)
    label = pick(label, f"label of issue {n}", [(name, name) for name in forge.issue(found, n)["labels"]])
    changed = _change(forge, found, n, remove_labels=label)
    return f"labels of {n}: {', '.join(changed['labels'])}"


@VERBS.verb("labels PROJECT", "a project's labels")
def labels(forge: Forge, project: str) -> list[str]:
    return [item["name"] for item in forge.all(forge.of(forge.project(project), "/labels"))]


@VERBS.verb("assign PROJECT N PERSON...", "assign an issue to somebody")
def assign(forge: Forge, project: str, n: int, person: str) -> str:
    somebody = forge.person(person)
    _change(forge, forge.project(project), n, assignee_ids=[somebody["id"]])
    return f"assigned {n} to {somebody['username']}"


@VERBS.verb("unassign PROJECT N", "assign an issue to nobody")
def unassign(forge: Forge, project: str, n: int) -> str:
    _change(forge, forge.project(project), n, assignee_ids=[])
    return f"assigned {n} to nobody"


@VERBS.verb("milestones PROJECT", "title, state and due date of the milestones")
def milestones(forge: Forge, project: str) -> list[str]:
    found = forge.all(forge.of(forge.project(project), "/milestones"))
    return [" ".join(filter(None, [m["title"], m["state"], m.get("due_date")])) for m in found]


@VERBS.verb("milestone PROJECT N TITLE...", "plan an issue for a milestone")
def milestone(forge: Forge, project: str, n: int, title: str) -> str:
    found = forge.project(project)
    chosen = _milestone(forge, found, title)
    _change(forge, found, n, milestone_id=chosen["id"])
    return f"milestone of {n}: {chosen['title']}"


@VERBS.verb("create-milestone PROJECT TITLE...", "make a milestone")
def create_milestone(forge: Forge, project: str, title: str) -> str:
    forge.send("POST", forge.of(forge.project(project), "/milestones"), title=title)
    return f"created {title}"


@VERBS.verb("close-milestone PROJECT TITLE...", "close a milestone")
def close_milestone(forge: Forge, project: str, title: str) -> str:
    found = forge.project(project)
    chosen = _milestone(forge, found, title)
    forge.send("PUT", forge.of(found, f"/milestones/{chosen['id']}"), state_event="close")
    return f"closed {chosen['title']}"


@VERBS.verb("members PROJECT", "who works on a project, and their level")
def members(forge: Forge, project: str) -> list[str]:
    names = {number: name for name, number in LEVELS.items()}
    found = forge.all(forge.of(forge.project(project), "/members/all"))
    return [f"{m['username']} {names.get(m['access_level'], m['access_level'])}" for m in found]


@VERBS.verb("add-member PROJECT PERSON [LEVEL]", "let somebody work on a project (as developer)")
def add_member(forge: Forge, project: str, person: str, level: str | None = None) -> str:
    number = pick(level or "developer", "level", list(LEVELS.items()))
    somebody = forge.person(person)
    where = forge.of(forge.project(project), "/members")
    forge.send("POST", where, user_id=somebody["id"], access_level=number)
    return f"added {somebody['username']}"


@VERBS.verb("create-project NAME", "make a project")
def create_project(forge: Forge, name: str) -> str:
    made = forge.send("POST", "/projects", name=name, visibility="public")
    return f"created {made['path_with_namespace']}"


@VERBS.verb("delete-project PROJECT", "delete a project with all that is in it")
def delete_project(forge: Forge, project: str) -> str:
    found = forge.project(project)
    forge.send("DELETE", f"/projects/{found['id']}")
    return f"deleted {found['path_with_namespace']}"


# What verbs share


def _change(forge: Forge, project: dict[str, Any], number: int, **fields: Any) -> dict[str, Any]:
    forge.issue(project, number)
    changed: dict[str, Any] = forge.send("PUT", forge.of(project, f"/issues/{number}"), **fields)
    return changed


def _milestone(forge: Forge, project: dict[str, Any], title: str) -> dict[str, Any]:
    return pick(title, "milestone", [(m["title"], m) for m in forge.all(forge.of(project, "/milestones"))])


def _label(forge: Forge, project: dict[str, Any], name: str, *, or_new: bool = False) -> str:
    names = [item["name"] for item in forge.all(forge.of(project, "/labels"))]
    try:
        return pick(name, "label", [(label, label) for label in names])
    except NoSuchName:
        if or_new:
            return name
        raise


def one_line(item: dict[str, Any], with_state: bool) -> str:
    return (
        f"{item['iid']} {item['state']} {item['title']}" if with_state else f"{item['iid']} {item['title']}"
    )


def fields_of(item: dict[str, Any]) -> list[str]:
    milestone = item.get("milestone")
    assignees = ", ".join(person["username"] for person in item["assignees"])
    fields = [
        ("title", item["title"]),
        ("state", item["state"]),
        ("labels", ", ".join(item["labels"])),
        ("assignee", assignees),
        ("milestone", milestone["title"] if milestone else ""),
        ("author", item["author"]["username"]),
        ("description", (item.get("description") or "").strip()),
    ]
    return [f"{name}: {value}" for name, value in fields if value]


def notes_of(forge: Forge, project: dict[str, Any], kind: str, number: int) -> list[str]:
    return [f"{note['author']['username']}: {note['body']}" for note in forge.notes(project, kind, number)]
