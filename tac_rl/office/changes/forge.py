"""Sentences about what changed in the forge."""

from collections.abc import Iterator, Mapping, Sequence

from tac_rl.office.changes.base import Changes, Commit, RefChange, RowChange, Value
from tac_rl.office.changes.wording import Describer, alterations, changed_to, quote, silent

_NOISE = (
    *(
        "created_at",
        "updated_at",
        "last_activity_at",
        "closed_at",
        "closed_by",
        "state",
        "readme",
        "is_empty",
    ),
    *("next_issue", "next_merge_request", "next_milestone", "next_pipeline"),
)
_LEVELS = {10: "guest", 20: "reporter", 30: "developer", 40: "maintainer", 50: "owner"}
_STATES = {"closed": "closed", "opened": "reopened", "merged": "merged", "active": "reopened"}
_COMMITS_TOLD = 3


def project_name(changes: Changes, project_id: Value) -> str:
    """`group/name`."""
    project = changes.look("forge_projects", project_id)
    if not project:
        return f"project {project_id}"
    group = changes.look("forge_namespaces", project.get("namespace_id")).get("path", "?")
    return f"{group}/{project['path']}"


def project_of(change: RefChange) -> str:
    """The id in a repository's path."""
    return change.repository.removeprefix("repositories/").removesuffix(".git")


def ref_sentences(change: RefChange, changes: Changes) -> Iterator[str]:
    """About a branch or a tag; other refs are the forge's own."""
    project = project_name(changes, project_of(change))
    if change.ref == "HEAD" and change.kind == "changed":
        yield f"the default branch of {project} is now {str(change.after).removeprefix('refs/heads/')}"
        return
    for prefix, what in (("refs/heads/", "branch"), ("refs/tags/", "tag")):
        if not change.ref.startswith(prefix):
            continue
        name = f"{what} {change.ref.removeprefix(prefix)} of {project}"
        if change.kind == "removed":
            yield f"{name} was deleted"
        elif change.kind == "added":
            yield f"{name} was created" + (f" with {_told(change.commits)}" if change.commits else "")
        elif change.commits:
            yield f"{name} has {_told(change.commits)}"
        else:
            yield f"{name} moved from {str(change.before)[:8]} to {str(change.after)[:8]}"


def _told(commits: Sequence[Commit]) -> str:
    titles = ", ".join(f"{quote(c.title)} by {c.author}" for c in commits[:_COMMITS_TOLD])
    more = f" and {len(commits) - _COMMITS_TOLD} more" if len(commits) > _COMMITS_TOLD else ""
    return f"{len(commits)} new commit{'s' if len(commits) > 1 else ''}: {titles}{more}"


def _project(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    group = changes.look("forge_namespaces", row.get("namespace_id")).get("path", "?")
    name = f"the project {group}/{row.get('path')}"
    if change.kind == "added":
        yield f"{name} was created by {row.get('creator')}"
    elif change.kind == "removed":
        yield f"{name} was deleted"
    elif told := alterations(change, _NOISE):
        yield f"{name}: {told}"


def _group(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    if change.kind == "added":
        yield f"the group {row.get('path')} was created"
    elif change.kind == "removed":
        yield f"the group {row.get('path')} was deleted"
    elif told := alterations(change, _NOISE):
        yield f"the group {row.get('path')}: {told}"


def _issuable(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    name = _reference(changes, row)
    if change.kind == "added":
        yield f"{name} {quote(row.get('title'))} was opened by {row.get('author')}" + (
            f" and {row.get('state')}" if row.get("state") != "opened" else ""
        )
    elif change.kind == "removed":
        yield f"{name} {quote(row.get('title'))} was deleted"
    else:
        state = changed_to(change, "state")
        if state is not None:
            yield f"{name} {quote(row.get('title'))} was {_STATES.get(state, state)}"
        if "milestone_id" in change.after:
            title = changes.look("forge_milestones", change.after["milestone_id"]).get("title")
            yield f"{name}: milestone " + (f"set to {quote(title)}" if title else "removed")
        if told := alterations(change, (*_NOISE, "milestone_id")):
            yield f"{name}: {told}"


def _reference(changes: Changes, row: Mapping[str, Value]) -> str:
    """`issue group/name#12`, `merge request group/name!3`."""
    project = project_name(changes, row.get("project_id"))
    if row.get("kind") == "issue":
        return f"issue {project}#{row.get('iid')}"
    return f"merge request {project}!{row.get('iid')}"


def _of(changes: Changes, change: RowChange) -> str:
    """The issue or merge request that a record belongs to."""
    return _reference(changes, changes.look("forge_issuables", changes.whole(change).get("issuable_id")))


def _note(change: RowChange, changes: Changes) -> Iterator[str]:
    row = changes.whole(change)
    name, body = _of(changes, change), quote(row.get("body"))
    if change.kind == "added":
        yield f"{row.get('author')} commented on {name}: {body}"
    elif change.kind == "removed":
        yield f"a comment of {row.get('author')} on {name} was deleted: {body}"
    elif "body" in change.after:
        yield f"a comment of {row.get('author')} on {name} is now {body}"


def _labelled(change: RowChange, changes: Changes) -> Iterator[str]:
    label = quote(changes.look("forge_labels", change.key["label_id"]).get("name"))
    what = "added to" if change.kind == "added" else "removed from"
    issuable = changes.look("forge_issuables", change.key["issuable_id"])
    if issuable:
        yield f"label {label} {what} {_reference(changes, issuable)}"


def _assigned(change: RowChange, changes: Changes) -> Iterator[str]:
    issuable = changes.look("forge_issuables", change.key["issuable_id"])
    if not issuable:
        return
    role, name = str(change.key["role"]), _reference(changes, issuable)
    for who in filter(None, (change.before.get("username"),)):
        yield f"{who} is no longer {role} of {name}"
    for who in filter(None, (change.after.get("username"),)):
        yield f"{who} is now {role} of {name}"


def _member(change: RowChange, changes: Changes) -> Iterator[str]:
    key = change.key
    if key["source"] == "project":
        place = project_name(changes, key["source_id"])
    else:
        place = f"the group {changes.look('forge_namespaces', key['source_id']).get('path', '?')}"
    level = change.after.get("access_level")
    role = _LEVELS.get(level, str(level)) if isinstance(level, int) else str(level)
    if change.kind == "removed":
        yield f"{key['username']} is no longer a member of {place}"
    elif level is not None:
        yield f"{key['username']} is now {role} of {place}"


def _named(kind: str, column: str) -> Describer:
    """Records of a project that are known by a name."""

    def describe(change: RowChange, changes: Changes) -> Iterator[str]:
        row = changes.whole(change)
        name = f"{kind} {quote(row.get(column))} of {project_name(changes, row.get('project_id'))}"
        if change.kind == "added":
            yield f"{name} was created"
        elif change.kind == "removed":
            yield f"{name} was deleted"
        else:
            state = changed_to(change, "state")
            if state is not None:
                yield f"{name} was {_STATES.get(state, state)}"
            if told := alterations(change, _NOISE):
                yield f"{name}: {told}"

    return describe


def _avatar(change: RowChange, changes: Changes) -> Iterator[str]:
    name = project_name(changes, change.key["project_id"])
    if change.kind == "removed":
        yield f"the avatar of {name} was removed"
    else:
        yield f"{name} has a new avatar: {changes.whole(change).get('filename')}"


def _star(change: RowChange, changes: Changes) -> Iterator[str]:
    verb = "starred" if change.kind == "added" else "unstarred"
    yield f"{change.key['username']} {verb} {project_name(changes, change.key['project_id'])}"


def _approval(change: RowChange, changes: Changes) -> Iterator[str]:
    issuable = changes.look("forge_issuables", change.key["issuable_id"])
    if issuable and change.kind != "changed":
        verb = "approved" if change.kind == "added" else "no longer approves"
        yield f"{change.key['username']} {verb} {_reference(changes, issuable)}"


DESCRIBERS: dict[str, Describer] = {
    "forge_namespaces": _group,
    "forge_projects": _project,
    "forge_issuables": _issuable,
    "forge_notes": _note,
    "forge_labelled": _labelled,
    "forge_assigned": _assigned,
    "forge_members": _member,
    "forge_labels": _named("label", "name"),
    "forge_milestones": _named("milestone", "title"),
    "forge_releases": _named("release", "name"),
    "forge_protected_branches": _named("protection of branch", "name"),
    "forge_wiki_pages": _named("wiki page", "title"),
    "forge_pipelines": _named("pipeline", "iid"),
    "forge_avatars": _avatar,
    "forge_stars": _star,
    "forge_approvals": _approval,
    "forge_merge_requests": silent,
    "forge_jobs": silent,
    "forge_events": silent,
    "forge_users": silent,
}
