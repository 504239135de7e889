"""A project before a release: a milestone with two open issues (one is done, one has to wait), a changelog in the
project's own form, and a file with the version, in which the old version stands a second time for something else."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, PRODUCTS, SYSTEMS

PEOPLE = (
    "alex_turner",
    "emma_lewis",
    "emily_zhou",
    "jessica_chen",
    "li_ming",
    "mike_chen",
    "wang_fang",
    "zhang_wei",
)
FEATURES = (
    "Search by {thing}",
    "Export the {thing} list as CSV",
    "Let users rename a {thing}",
    "Show who changed a {thing} last",
    "Undo for a deleted {thing}",
    "Limits per {thing}",
    "A dry run for the {system}",
    "Reload the {system} without a restart",
)
BUGS = (
    "The {system} forgets its settings after an update",
    "A {thing} without a name stops the {system}",
    "Times of a {thing} are an hour off",
    "Two clicks make a second {thing}",
    "The {system} hangs when the disk is full",
    "An empty {thing} is shown as an error",
)
CHORES = (
    "Move the tests of the {system} into one folder",
    "Newer compiler for the {system}",
    "Tidy up the {thing} page",
)
HEADINGS = (
    "## {version} ({date})",
    "## v{version}, {date}",
    "## {date}: {version}",
    "## Version {version} of {date}",
)
LINES = ("- {title} (#{n})", "* #{n}: {title}", "- [#{n}] {title}", "* {title}, see #{n}")
GROUPS = (("New", "Repaired"), ("Added", "Fixed"), ("Features", "Bug fixes"))
FORGOTTEN = "It is done and tested. I forgot to close it, please do."
NOT_READY = "Not ready, I'm sorry. It stays open and moves to the next milestone."
VERSION_FILES = {
    "pyproject.toml": '[project]\nname = "{name}"\nversion = "@"\ndependencies = ["{kit}=={old}"]\n',
    "package.json": '{{\n  "name": "{name}",\n  "version": "@",\n  "needs": {{"{kit}": "{old}"}}\n}}\n',
    "setup.cfg": "[metadata]\nname = {name}\nversion = @\n\n[options]\ninstall_requires = {kit}=={old}\n",
}
RELEASING = """# How to release

1. The milestone has no open issues left. What isn't ready moves to the milestone that is due next after it.
2. CHANGELOG.md gets a new section above the others, in the same form as theirs, with an empty line after it. The date
   is the one on which the milestone is due. Listed are the milestone's closed issues, with their titles as they are:
   those labelled feature under {new}, those labelled bug under {repaired}, in the order of their numbers. Chores aren't
   listed, and neither is what was closed with the label declined.
3. The version in {file} is raised. Nothing else changes.
4. Both go into one commit on main, with the message: Release VERSION
5. That commit is tagged vVERSION. The tag gets a release in the forge whose name is the project's name and the version,
   and whose notes are the new section without its heading.
6. The milestone is closed.
7. The channel {room} is told in one line: PROJECT VERSION is out, with N changes
   (N is how many lines the section lists.)
"""


def make(rng: random.Random) -> Made:
    codename, system = rng.choice(CODENAMES), rng.choice(SYSTEMS)
    project, room = f"{codename}-{system}", f"{codename}-dev"
    major, minor = rng.randint(0, 3), rng.randint(2, 8)
    older, old, new, later = (f"{major}.{minor + n}.0" for n in (-2, -1, 0, 1))
    far = f"{major + 1}.0.0"
    form = {"heading": rng.choice(HEADINGS), "line": rng.choice(LINES), "groups": rng.choice(GROUPS)}
    day = rng.randint(3, 20)
    dates = {
        older: f"2025-11-{day:02}",
        old: f"2026-01-{day:02}",
        new: f"2026-03-{day:02}",
        later: f"2026-05-{day:02}",
    }
    titles = _Titles(rng, system)
    issues = _issues(rng, titles, old, new, later)
    done, waiting = (next(i for i in issues if i["fate"] == fate) for fate in ("done", "waiting"))
    done["assignees"], waiting["assignees"] = ([who] for who in rng.sample(PEOPLE, 2))
    listed = [
        i
        for i in issues
        if i["milestone"] == new and i["fate"] in ("closed", "done") and i["kind"] != "chore"
    ]
    path, text, raised = _version_file(rng, codename, system, old, new)
    olds = [
        (old, [i for i in issues if i["milestone"] == old]),
        (older, [titles.issue(n) for n in (1, 2, 3)]),
    ]
    before = "# Changelog\n\n" + "\n".join(
        _section(form, version, dates[version], listed) for version, listed in olds
    )
    section = _section(form, new, dates[new], listed)
    after = before.replace("# Changelog\n\n", f"# Changelog\n\n{section}\n", 1)
    files = {
        path: text,
        "CHANGELOG.md": before,
        "RELEASING.md": RELEASING.format(
            new=form["groups"][0], repaired=form["groups"][1], file=path, room=room
        ),
        "README.md": f"# {project}\n\nThe {system} of {codename}. Talk to us in the channel {room}.\n",
    }
    people = rng.sample(PEOPLE, 5)
    first = {name: content for name, content in files.items() if name != "CHANGELOG.md"}
    commits = [
        {
            "message": "Begin",
            "from": people[0],
            "at": "2025-10-06T09:00:00Z",
            "files": {"README.md": f"# {project}\n"},
        },
        {"message": "How to release", "from": people[1], "at": "2025-11-02T10:20:00Z", "files": first},
        {
            "message": f"Release {old}",
            "from": people[1],
            "at": f"{dates[old]}T14:05:00Z",
            "files": {"CHANGELOG.md": before},
            "tag": f"v{old}",
        },
        {
            "message": "Say what is stored where",
            "from": people[2],
            "at": "2026-02-18T11:45:00Z",
            "files": {"docs/storage.md": f"# Storage\n\nAll of it is below /var/{codename}.\n"},
        },
    ]
    rng.shuffle(people)
    keep = ("title", "iid", "state", "assignees", "labels", "milestone")
    return Made(
        values={"project": project, "version": new},
        office={
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "description": f"The {system} of {codename}",
                        "commits": commits,
                        "labels": [{"name": name} for name in ("bug", "feature", "chore", "declined")],
                        "milestones": [
                            {"title": old, "due": dates[old], "state": "closed"},
                            {"title": far, "due": "2026-12-18"},
                            {"title": new, "due": dates[new]},
                            {"title": later, "due": dates[later]},
                        ],
                        "issues": [{key: issue[key] for key in keep} for issue in issues],
                    }
                ]
            },
            "chat": {
                "channels": [
                    {
                        "name": room,
                        "topic": f"{project}: questions and releases",
                        "owner": people[0],
                        "members": people[1:],
                        "messages": [
                            {
                                "from": people[0],
                                "text": f"{project} {old} is out, with {len(olds[0][1])} changes",
                                "at": f"{dates[old]}T14:20:00Z",
                            }
                        ],
                    }
                ]
            },
            "colleagues": {
                done["assignees"][0]: _colleague(done, project, new, FORGOTTEN),
                waiting["assignees"][0]: _colleague(
                    waiting,
                    project,
                    new,
                    NOT_READY,
                ),
            },
        },
        facts={
            "project": project,
            "version": new,
            "room": room,
            "told": {done["assignees"][0]: "done and tested", waiting["assignees"][0]: "moves to the next"},
            "done": done["iid"],
            "waiting": waiting["iid"],
            "later": later,
            "issues": [{key: issue[key] for key in keep} for issue in issues],
            "milestones": {old: "closed", new: "closed", later: "active", far: "active"},
            "listed": [i["iid"] for i in listed],
            "everything": [i["iid"] for i in issues],
            "files": files | commits[3]["files"],
            "changelog": after,
            "notes": section.partition("\n")[2],
            "path": path,
            "raised": raised,
            "commits": [commit["message"] for commit in commits],
            "announcement": f"{project} {new} is out, with {len(listed)} changes",
        },
    )


class _Titles:
    """Titles of issues, each given once."""

    def __init__(self, rng: random.Random, system: str) -> None:
        things = rng.sample(PRODUCTS, 3)
        self._left = {
            kind: [t.format(thing=thing, system=system) for thing in things for t in templates]
            for kind, templates in (("feature", FEATURES), ("bug", BUGS), ("chore", CHORES))
        }
        for titles in self._left.values():
            titles[:] = dict.fromkeys(titles)
            rng.shuffle(titles)
        self._rng = rng

    def issue(self, number: int, kind: str = "") -> dict:
        kind = kind or self._rng.choice(("feature", "bug"))
        return {"iid": number, "kind": kind, "title": self._left[kind].pop()}


def _issues(rng: random.Random, titles: _Titles, old: str, new: str, later: str) -> list[dict]:
    """Of three milestones and of none; `fate` says what becomes of each."""
    plan = [(old, "closed", rng.choice(("feature", "bug"))) for _ in range(4)]
    plan += [(new, "closed", kind) for kind in ("feature", "feature", "bug", "bug", "chore")]
    plan += [(new, "closed", rng.choice(("feature", "bug"))) for _ in range(rng.randint(0, 2))]
    plan += [(new, "declined", rng.choice(("feature", "bug"))), (None, "closed", "bug")]
    plan += [(new, "done", rng.choice(("feature", "bug"))), (new, "waiting", rng.choice(("feature", "bug")))]
    plan += [(later, "open", "feature"), (None, "open", "chore")]
    olds, others = plan[:4], plan[4:]
    rng.shuffle(others)
    numbers = sorted(rng.sample(range(11, 80), len(plan)))
    issues = []
    for number, (milestone, fate, kind) in zip(numbers, olds + others, strict=True):
        labels = [kind, *(["declined"] if fate == "declined" else [])]
        issues.append(
            {
                **titles.issue(number, kind),
                "fate": fate,
                "state": "closed" if fate in ("closed", "declined") else "opened",
                "assignees": [rng.choice(PEOPLE)],
                "labels": sorted(labels),
                "milestone": milestone,
            }
        )
    return issues


def _section(form: dict, version: str, day: str, issues: list[dict]) -> str:
    """Of the changelog, without the empty line after it."""
    lines = [form["heading"].format(version=version, date=day)]
    for group, kind in zip(form["groups"], ("feature", "bug"), strict=True):
        found = [form["line"].format(title=i["title"], n=i["iid"]) for i in issues if i["kind"] == kind]
        lines += ["", f"### {group}", "", *found] if found else []
    return "\n".join(lines) + "\n"


def _version_file(rng: random.Random, codename: str, system: str, old: str, new: str) -> tuple[str, str, str]:
    """Path, content with the old version and with the new one. Something else has the old version too."""
    path = rng.choice(list(VERSION_FILES))
    text = VERSION_FILES[path].format(name=codename, kit=f"{system}-kit", old=old)
    return path, text.replace("@", old), text.replace("@", new)


def _colleague(issue: dict, project: str, version: str, answer: str) -> dict:
    number = str(issue["iid"])
    about = [f"#{number}", f"issue {number}", number, issue["title"], project, version, "milestone"]
    return {"facts": [{"about": about, "answer": answer}], "fallback": "Which issue do you mean?"}
