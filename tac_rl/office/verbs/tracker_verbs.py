"""The verbs of the tracker."""

from __future__ import annotations

from .http import Problem
from .names import NoSuchName, first_line, pick, plain
from .table import Verbs
from .tracker import Tracker, from_environment, full_name, html_of, text_of, username_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = ("urgent", "high", "medium", "low", "none")

VERBS = Verbs(
    "tracker",
    "The company's project tracker. An issue's KEY is such as FE-12.",
    {
        "PROJECT": "a project's name (hyphens do for spaces), or what its keys begin with, such as FE",
        "STATE": "a state, such as in progress",
        "KEY": "an issue's key, such as FE-12",
        "TITLE": "a title, any words",
        "TEXT": "any words",
        "PERSON": "a username such as alex_turner, or a name",
        "LEVEL": "urgent, high, medium, low or none",
        "LABEL": "a label",
        "CYCLE": "a cycle (a sprint)",
        "MODULE": "a module",
        "DATE": "a date such as 2026-04-30",
        "NAME": "a name, any words",
        "ID": "one to twelve letters",
    },
    from_environment,
)


@VERBS.verb("projects", "what the keys begin with, and the names")
def projects(tracker: Tracker) -> list[str]:
    return [f"{p['identifier']} {p['name']}" for p in tracker.projects()]


@VERBS.verb("issues PROJECT [STATE...]", "key, state and title of the issues (in a state)")
def issues(tracker: Tracker, project: str, state: str | None = None) -> list[str]:
    found = tracker.project(project)
    listed = tracker.listed(found, "issues")
    if state is not None:
        wanted = tracker.named(found, "states", state)["id"]
        listed = [issue for issue in listed if issue["state"] == wanted]
    return _lines(tracker, found, listed)


@VERBS.verb("issue KEY", "an issue: title, state, priority, people, description, comments")
def issue(tracker: Tracker, key: str) -> list[str]:
    project, found = tracker.issue(key)
    usernames = {person["id"]: username for username, person in tracker.people().items()}
    labels = (
        {label["id"]: label["name"] for label in tracker.listed(project, "labels")} if found["labels"] else {}
    )
    fields = [
        ("title", found["name"]),
        ("state", _states(tracker, project)[found["state"]]),
        ("priority", found["priority"]),
        ("assignee", ", ".join(usernames.get(person, person) for person in found["assignees"])),
        ("labels", ", ".join(labels.get(label, label) for label in found["labels"])),
        ("cycle", ", ".join(tracker.cycles_of(project, found))),
        ("start", found.get("start_date")),
        ("due", found.get("target_date")),
        ("description", text_of(found.get("description_html"))),
    ]
    lines = [f"{name}: {value}" for name, value in fields if value]
    for comment in tracker.comments(project, found):
        author = comment.get("actor") or comment.get("created_by")
        lines.append(f"{usernames.get(author, author)}: {text_of(comment['comment_html'])}")
    return lines


@VERBS.verb("create PROJECT TITLE...", "make an issue")
def create(tracker: Tracker, project: str, title: str) -> str:
    found = tracker.project(project)
    made = tracker.send("POST", tracker.of(found, "issues/"), name=title)
    return f"created {found['identifier']}-{made['sequence_id']}"


@VERBS.verb("describe KEY TEXT...", "set an issue's description")
def describe(tracker: Tracker, key: str, text: str) -> str:
    return f"described {_change(tracker, key, description_html=html_of(text))}"


@VERBS.verb("title KEY TEXT...", "set an issue's title")
def title(tracker: Tracker, key: str, text: str) -> str:
    return f"title of {_change(tracker, key, name=text)}: {text}"


@VERBS.verb("move KEY STATE...", "put an issue in a state")
def move(tracker: Tracker, key: str, state: str) -> str:
    project, found = tracker.issue(key)
    chosen = tracker.named(project, "states", state)
    _patch(tracker, project, found, state=chosen["id"])
    return f"moved {_key(project, found)} to {chosen['name']}"


@VERBS.verb("assign KEY PERSON...", "assign an issue to somebody")
def assign(tracker: Tracker, key: str, person: str) -> str:
    project, found = tracker.issue(key)
    username, somebody = tracker.person(person)
    _patch(tracker, project, found, assignees=[somebody["id"]])
    return f"assigned {_key(project, found)} to {username}"


@VERBS.verb("unassign KEY", "assign an issue to nobody")
def unassign(tracker: Tracker, key: str) -> str:
    return f"assigned {_change(tracker, key, assignees=[])} to nobody"


@VERBS.verb("priority KEY LEVEL", "set an issue's priority")
def priority(tracker: Tracker, key: str, level: str) -> str:
    if plain(level) not in LEVELS:
        raise Problem(f"a priority is {', '.join(LEVELS[:-1])} or none, not {level!r}")
    return f"priority of {_change(tracker, key, priority=plain(level))}: {plain(level)}"


@VERBS.verb("due KEY DATE", "set the day by which an issue is to be done")
def due(tracker: Tracker, key: str, date: str) -> str:
    return f"{_change(tracker, key, target_date=date)} is due {date}"


@VERBS.verb("comment KEY TEXT...", "write under an issue")
def comment(tracker: Tracker, key: str, text: str) -> str:
    project, found = tracker.issue(key)
    where = tracker.of(project, f"issues/{found['id']}/comments/")
    tracker.send("POST", where, comment_html=html_of(text))
    return f"commented on {_key(project, found)}"


@VERBS.verb("label KEY LABEL...", "add a label to an issue")
def label(tracker: Tracker, key: str, label: str) -> str:
    project, found = tracker.issue(key)
    try:
        chosen = tracker.named(project, "labels", label)
    except NoSuchName:
        chosen = tracker.send("POST", tracker.of(project, "labels/"), name=label)
    _patch(tracker, project, found, labels=sorted({*found["labels"], chosen["id"]}))
    return f"labelled {_key(project, found)} {chosen['name']}"


@VERBS.verb("unlabel KEY LABEL...", "take a label off an issue")
def unlabel(tracker: Tracker, key: str, label: str) -> str:
    project, found = tracker.issue(key)
    has = [
        (item["name"], item) for item in tracker.listed(project, "labels") if item["id"] in found["labels"]
    ]
    chosen = pick(label, f"label of {key}", has)
    _patch(tracker, project, found, labels=[item for item in found["labels"] if item != chosen["id"]])
    return f"took {chosen['name']} off {_key(project, found)}"


@VERBS.verb("delete KEY", "delete an issue")
def delete(tracker: Tracker, key: str) -> str:
    project, found = tracker.issue(key)
    tracker.send("DELETE", tracker.of(project, f"issues/{found['id']}/"))
    return f"deleted {_key(project, found)}"


@VERBS.verb("states PROJECT", "the states of a project's issues")
def states(tracker: Tracker, project: str) -> list[str]:
    return [state["name"] for state in tracker.listed(tracker.project(project), "states")]


@VERBS.verb("labels PROJECT", "the labels of a project")
def labels(tracker: Tracker, project: str) -> list[str]:
    return [label["name"] for label in tracker.listed(tracker.project(project), "labels")]


@VERBS.verb("cycles PROJECT", "the cycles (sprints) with their first and last day")
def cycles(tracker: Tracker, project: str) -> list[str]:
    found = tracker.cycles(tracker.project(project))
    return [
        " ".join([cycle["name"], *(day[:10] for day in (cycle["start_date"], cycle["end_date"]) if day)])
        for cycle in found
    ]


@VERBS.verb("cycle KEY CYCLE...", "plan an issue for a cycle")
def cycle(tracker: Tracker, key: str, cycle: str) -> str:
    project, found = tracker.issue(key)
    chosen = tracker.named(project, "cycles", cycle)
    where = tracker.of(project, f"cycles/{chosen['id']}/cycle-issues/")
    tracker.send("POST", where, issues=[found["id"]])
    return f"planned {_key(project, found)} for {chosen['name']}"


@VERBS.verb("uncycle KEY CYCLE...", "take an issue out of a cycle")
def uncycle(tracker: Tracker, key: str, cycle: str) -> str:
    project, found = tracker.issue(key)
    chosen = tracker.named(project, "cycles", cycle)
    tracker.send("DELETE", tracker.of(project, f"cycles/{chosen['id']}/cycle-issues/{found['id']}/"))
    return f"took {_key(project, found)} out of {chosen['name']}"


@VERBS.verb("cycle-issues PROJECT CYCLE...", "key, state and title of a cycle's issues")
def cycle_issues(tracker: Tracker, project: str, cycle: str) -> list[str]:
    found = tracker.project(project)
    return _lines(tracker, found, tracker.cycle_issues(found, tracker.named(found, "cycles", cycle)))


@VERBS.verb("modules PROJECT", "the modules of a project")
def modules(tracker: Tracker, project: str) -> list[str]:
    return [module["name"] for module in tracker.listed(tracker.project(project), "modules")]


@VERBS.verb("module KEY MODULE...", "put an issue in a module")
def module(tracker: Tracker, key: str, module: str) -> str:
    project, found = tracker.issue(key)
    chosen = tracker.named(project, "modules", module)
    where = tracker.of(project, f"modules/{chosen['id']}/module-issues/")
    tracker.send("POST", where, issues=[found["id"]])
    return f"put {_key(project, found)} in {chosen['name']}"


@VERBS.verb("members PROJECT", "who works on a project")
def members(tracker: Tracker, project: str) -> list[str]:
    found = tracker.listed(tracker.project(project), "members")
    return sorted(f"{username_of(person)}, {full_name(person)}" for person in found)


@VERBS.verb("create-project ID NAME...", "make a project whose keys begin with ID")
def create_project(tracker: Tracker, id: str, name: str) -> str:
    made = tracker.send("POST", "/projects/", name=name, identifier=id.upper())
    return f"created {made['identifier']} {made['name']}"


# What verbs share


def _key(project: dict[str, Any], issue: dict[str, Any]) -> str:
    return f"{project['identifier']}-{issue['sequence_id']}"


def _patch(tracker: Tracker, project: dict[str, Any], issue: dict[str, Any], **fields: Any) -> None:
    tracker.send("PATCH", tracker.of(project, f"issues/{issue['id']}/"), **fields)


def _change(tracker: Tracker, key: str, **fields: Any) -> str:
    project, found = tracker.issue(key)
    _patch(tracker, project, found, **fields)
    return _key(project, found)


def _states(tracker: Tracker, project: dict[str, Any]) -> dict[str, str]:
    return {state["id"]: state["name"] for state in tracker.listed(project, "states")}


def _lines(tracker: Tracker, project: dict[str, Any], issues: list[dict[str, Any]]) -> list[str]:
    names = _states(tracker, project)
    return [
        f"{_key(project, issue)} {names[issue['state']]}: {first_line(issue['name'])}"
        for issue in sorted(issues, key=lambda item: int(item["sequence_id"]))
    ]
