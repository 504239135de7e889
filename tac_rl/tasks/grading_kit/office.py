"""What evaluators read the office with, when an attempt is over: plain data from the services' own APIs.

Each reader answers "nothing" ([], '', {} or None) for what isn't there, and takes names exactly as they are
written. `OfficeUnreachable` means that a service could not be read at all: then nobody may be given a 0 for it,
so it is no `Exception`, which `@grader` and evaluators catch. The clients lie beside the kit, in `verbs/`.
"""

from verbs import chat as _chat
from verbs import drive as _drive
from verbs import forge as _forge
from verbs import tracker as _tracker
from verbs.http import Problem, Refused, Unreachable

AGENT = _chat.USER
"""The agent's own account in the chat."""


class OfficeUnreachable(BaseException):
    """A service can't be reached, fails, refuses our account, or answers in a shape that it shouldn't."""


def _reader(nothing, refused_means_nothing=False):
    """Decorator: errors that mean "it isn't there" give `nothing()`, all others `OfficeUnreachable`.

    A path may be one that a service refuses (400), and nothing can be there then.
    """

    def decorate(function):
        def guarded(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except Unreachable as error:
                raise OfficeUnreachable(str(error)) from None
            except Refused as error:
                if error.status == 401 or not refused_means_nothing:
                    raise OfficeUnreachable(str(error)) from None
                return nothing()
            except Problem:
                return nothing()
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                told = f"{function.__name__}: {type(error).__name__}: {error}"
                raise OfficeUnreachable(told) from error

        guarded.__name__ = function.__name__
        guarded.__doc__ = function.__doc__
        return guarded

    return decorate


def _none():
    return None


_clients = {}


def _client(name, make):
    """One client (and connection) a service."""
    if name not in _clients:
        _clients[name] = make()
    return _clients[name]


# The chat


def _chat_as(username):
    if username == AGENT:
        return _client("chat", _chat.from_environment)
    return _client(f"chat {username}", lambda: _chat.from_environment(username))


def _room(name):
    room = _chat_as(AGENT).room(name)
    if room["name"] != name:
        raise Problem(f"there is no room {name!r}")
    return room


@_reader(list)
def channels():
    """The names of all channels, and of the private ones that the agent is in."""
    return [room["name"] for room in _chat_as(AGENT).rooms()]


@_reader(_none)
def channel(name):
    """A room: `name`, `topic`, `description`, `private`, `archived`. None where there is none of that name."""
    room = _room(name)
    return {
        "name": room["name"],
        "topic": room.get("topic") or "",
        "description": room.get("description") or "",
        "private": room["t"] == "p",
        "archived": bool(room.get("archived")),
    }


@_reader(list)
def chat_messages(room):
    """All that people wrote in a room, oldest first: `author`, `text`, `at`, `thread`, `reactions`, `files`, `id`."""
    return _chat_as(AGENT).messages(_room(room), 0)


@_reader(list)
def direct_messages(person, other=AGENT):
    """The conversation of two people (usernames), oldest first, as `chat_messages`."""
    reader, partner = (AGENT, person) if other == AGENT else (person, other)
    chat = _chat_as(reader)
    room = chat.direct(partner)
    return chat.messages(room, 0) if room else []


@_reader(list)
def written_to(author=AGENT):
    """The sorted usernames of those to whom somebody wrote directly, also in conversations of several."""
    chat = _chat_as(author)
    found = set()
    for room in chat.get("im.list", count=0)["ims"]:
        if any(message["author"] == author for message in chat.messages({**room, "t": "d"}, 0)):
            found.update(room["usernames"])
    return sorted(found - {author})


@_reader(dict)
def all_members():
    """The usernames in each room that `channels` names: room -> list."""
    chat = _chat_as(AGENT)
    found = {}
    for room in chat.rooms():
        listed = chat.get(chat.of_room(room, "members"), roomId=room["_id"], count=0)["members"]
        found[room["name"]] = [member["username"] for member in listed]
    return found


@_reader(list)
def members(room):
    """The usernames of a room's members."""
    return [member["username"] for member in _chat_as(AGENT).members(_room(room))]


@_reader(dict)
def roles(room):
    """Who has which roles in a room: username -> list of owner, moderator, leader."""
    found = _chat_as(AGENT).members(_room(room))
    return {member["username"]: member["roles"] for member in found if member["roles"]}


# The forge: projects by name (TAC's group is understood) or by group/name


def _in_forge(name):
    forge = _client("forge", _forge.from_environment)
    project = forge.project(name)
    if name not in (project["path"], project["path_with_namespace"]):
        raise Problem(f"there is no project {name!r}")
    return forge, project


def _item(item):
    milestone = item.get("milestone")
    return {
        "number": item["iid"],
        "title": item["title"],
        "state": item["state"],
        "description": item.get("description") or "",
        "labels": list(item["labels"]),
        "author": item["author"]["username"],
        "assignees": [person["username"] for person in item["assignees"]],
        "milestone": milestone["title"] if milestone else None,
    }


def _request(item):
    return {
        **_item(item),
        "source_branch": item["source_branch"],
        "target_branch": item["target_branch"],
        "reviewers": [person["username"] for person in item.get("reviewers") or ()],
    }


def _noted(forge, project, kind, item):
    notes = forge.notes(project, kind, item["number"])
    return {**item, "notes": [{"author": n["author"]["username"], "text": n["body"]} for n in notes]}


@_reader(list)
def projects():
    """`group/name` of each project of the forge."""
    return [p["path_with_namespace"] for p in _client("forge", _forge.from_environment).projects()]


@_reader(list)
def issues(project):
    """A project's issues by number: `number`, `title`, `state` (opened or closed), `description`, `labels`,
    `author`, `assignees`, `milestone`."""
    forge, found = _in_forge(project)
    return [_item(issue) for issue in forge.issues(found, state="all")]


@_reader(_none)
def issue(project, number):
    """One issue as in `issues`, with its `notes` (`author`, `text`), oldest first."""
    forge, found = _in_forge(project)
    return _noted(forge, found, "issues", _item(forge.issue(found, number)))


@_reader(list)
def merge_requests(project):
    """As `issues`, with `source_branch`, `target_branch`, `reviewers`; states also `merged`."""
    forge, found = _in_forge(project)
    return [_request(request) for request in forge.merge_requests(found, state="all")]


@_reader(_none)
def merge_request(project, number):
    """One merge request as in `merge_requests`, with its `notes` and the paths of the `files` that it changes."""
    forge, found = _in_forge(project)
    request = _noted(forge, found, "merge_requests", _request(forge.merge_request(found, number)))
    changed = forge.all(forge.of(found, f"/merge_requests/{number}/diffs"))
    return {**request, "files": [diff["new_path"] for diff in changed]}


@_reader(list)
def branches(project):
    """The names of a project's branches."""
    forge, found = _in_forge(project)
    return [branch["name"] for branch in forge.branches(found)]


@_reader(list, refused_means_nothing=True)
def repo_names(project, folder="", ref=None):
    """The names in a folder of the repository (folders too), at a branch, tag or commit."""
    forge, found = _in_forge(project)
    return sorted(entry["name"] for entry in forge.tree(found, folder, ref))


@_reader(_none, refused_means_nothing=True)
def repo_bytes(project, path, ref=None):
    """A file's content; None where there is no such file."""
    forge, found = _in_forge(project)
    return forge.file(found, path, ref)


def repo_file(project, path, ref=None):
    """A file's text; '' where there is no such file, or it isn't text."""
    return _text(repo_bytes(project, path, ref))


@_reader(list, refused_means_nothing=True)
def commits(project, ref=None):
    """A branch's commits, newest first: `id`, `title`, `message`, `author` (name)."""
    forge, found = _in_forge(project)
    listed = forge.all(forge.of(found, "/repository/commits"), ref_name=ref)
    names = {"id": "id", "title": "title", "message": "message", "author": "author_name"}
    return [{name: commit[key] for name, key in names.items()} for commit in listed]


@_reader(list)
def tags(project):
    """The names of a project's tags."""
    forge, found = _in_forge(project)
    return [tag["name"] for tag in forge.all(forge.of(found, "/repository/tags"))]


@_reader(list)
def releases(project):
    """`tag`, `name` and `description` of a project's releases, newest first."""
    forge, found = _in_forge(project)
    listed = forge.all(forge.of(found, "/releases"))
    return [
        {"tag": r["tag_name"], "name": r["name"] or "", "description": r["description"] or ""} for r in listed
    ]


@_reader(list)
def milestones(project):
    """`title`, `state` and `due` (a date, or None) of a project's milestones."""
    forge, found = _in_forge(project)
    listed = forge.all(forge.of(found, "/milestones"))
    return [{"title": m["title"], "state": m["state"], "due": m.get("due_date")} for m in listed]


@_reader(dict)
def wiki(project):
    """A project's wiki: title -> text."""
    forge, found = _in_forge(project)
    return {page["title"]: page["content"] for page in forge.all(forge.of(found, "/wikis"), with_content=1)}


# The tracker: projects by name or by what their keys begin with


def _in_tracker(name):
    tracker = _client("tracker", _tracker.from_environment)
    project = tracker.project(name)
    if name not in (project["name"], project["identifier"]):
        raise Problem(f"there is no project {name!r}")
    return tracker, project


def _names(tracker, project):
    """What the ids in a project's issues stand for."""
    usernames = {person["id"]: username for username, person in tracker.people().items()}
    states, labels = ({i["id"]: i["name"] for i in tracker.listed(project, k)} for k in ("states", "labels"))
    return usernames, states, labels


def _tracked(project, issue, names):
    usernames, states, labels = names
    return {
        "key": f"{project['identifier']}-{issue['sequence_id']}",
        "title": issue["name"],
        "state": states.get(issue["state"]),
        "priority": issue["priority"],
        "description": _tracker.text_of(issue.get("description_html")),
        "assignees": sorted(usernames.get(person, person) for person in issue["assignees"]),
        "labels": sorted(labels.get(label, label) for label in issue["labels"]),
        "due": issue.get("target_date"),
    }


@_reader(list)
def tracker_projects():
    """The names of the tracker's projects."""
    return [project["name"] for project in _client("tracker", _tracker.from_environment).projects()]


@_reader(list)
def tracker_issues(project):
    """A project's issues by number: `key` (such as FE-12), `title`, `state`, `priority`, `description` (text),
    `assignees`, `labels`, `due`."""
    tracker, found = _in_tracker(project)
    names = _names(tracker, found)
    listed = sorted(tracker.listed(found, "issues"), key=lambda item: item["sequence_id"])
    return [_tracked(found, item, names) for item in listed]


@_reader(_none)
def tracker_issue(key):
    """One issue as in `tracker_issues`, with its `cycles` (names) and `comments` (`author`, `text`)."""
    tracker = _client("tracker", _tracker.from_environment)
    project, found = tracker.issue(key)
    names = _names(tracker, project)
    shown = _tracked(project, found, names)
    if shown["key"] != key:
        return None
    comments = [
        {
            "author": names[0].get(c.get("actor") or c["created_by"]),
            "text": _tracker.text_of(c["comment_html"]),
        }
        for c in tracker.comments(project, found)
    ]
    return {**shown, "cycles": tracker.cycles_of(project, found), "comments": comments}


@_reader(list)
def tracker_cycles(project):
    """The names of a project's cycles."""
    tracker, found = _in_tracker(project)
    return [cycle["name"] for cycle in tracker.cycles(found)]


@_reader(list)
def tracker_cycle(project, cycle):
    """The keys of the issues in a cycle."""
    tracker, found = _in_tracker(project)
    for candidate in tracker.cycles(found):
        if candidate["name"] == cycle:
            numbers = sorted(issue["sequence_id"] for issue in tracker.cycle_issues(found, candidate))
            return [f"{found['identifier']}-{number}" for number in numbers]
    return []


# The drive


@_reader(list, refused_means_nothing=True)
def drive_names(folder=""):
    """The sorted names in a folder (those of folders end with a slash)."""
    entries = _client("drive", _drive.from_environment).entries(folder)
    return [entry.name + ("/" if entry.folder else "") for entry in entries]


@_reader(_none, refused_means_nothing=True)
def drive_read(path):
    """A file's content; None where there is no such file."""
    return _client("drive", _drive.from_environment).read(path)


def drive_text(path):
    """A file's text; '' where there is no such file, or it isn't text."""
    return _text(drive_read(path))


def _text(data):
    if data is None or b"\0" in data:
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
