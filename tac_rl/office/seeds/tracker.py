"""The tracker's section: the same work as in the forge, planned in sprints, and the work outside engineering."""

from datetime import date
from typing import Any

from tac_rl.office.overlay import TrackerOverlay, TrackerProjectOverlay
from tac_rl.office.seeds.calendar import SPRINTS, at, working_time
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import TRACKER_NAMES, data
from tac_rl.office.seeds.world import Work, World

_LEADS = {
    "TIDE": "li_ming",
    "SEEK": "huang_jie",
    "TREL": "alex_turner",
    "SHOP": "emma_lewis",
    "EMBR": "mike_chen",
    "OPS": "chen_xinyi",
}
_OPERATIONS = ("Finance", "People", "Marketing", "Sales", "Quality and docs")
_MODULE_OF = {
    "david_wong": "Finance",
    "chen_xinyi": "People",
    "jessica_lee": "Marketing",
    "mark_johnson": "Sales",
    "priya_sharma": "Quality and docs",
    "liu_qiang": "Quality and docs",
}


def planned(world: World, identifier: str) -> list[Work]:
    """The works that a tracker's project holds, by number there: what has a sprint, and a little backlog."""
    backlog: dict[str, int] = {}
    chosen = []
    for work in world.works:
        if work.product.tracker != identifier or work.declined:
            continue
        if work.sprint is None:
            backlog[work.product.name] = backlog.get(work.product.name, 0) + 1
        if work.sprint or backlog[work.product.name] <= 4:
            chosen.append(work)
    return sorted(chosen, key=lambda work: (work.opened, work.ref))


def tracker_refs(world: World) -> dict[str, str]:
    """The forge's reference of a work -> the tracker's, such as `tidewater#12` -> `TIDE-7`."""
    return {
        work.ref: f"{identifier}-{number}"
        for identifier in TRACKER_NAMES
        for number, work in enumerate(planned(world, identifier), 1)
    }


def tracker_section(world: World) -> TrackerOverlay:
    return TrackerOverlay(projects=tuple(_project(world, identifier) for identifier in TRACKER_NAMES))


def _project(world: World, identifier: str) -> TrackerProjectOverlay:
    products = [product for product in world.products if product.tracker == identifier]
    issues = [_issue(work, number) for number, work in enumerate(planned(world, identifier), 1)]
    modules = [{"name": p.name, "description": p.tagline, "status": "in-progress"} for p in products]
    if identifier == "OPS":
        issues += _operations(world, len(issues))
        modules += [{"name": name, "status": "in-progress"} for name in _OPERATIONS]
    names = " and ".join(product.name for product in products)
    document = {
        "name": TRACKER_NAMES[identifier],
        "identifier": identifier,
        "description": f"{names}: what we do in which sprint.",
        "lead": _LEADS[identifier],
        "labels": [
            {"name": "bug", "color": "#D9534F"},
            {"name": "feature", "color": "#428BCA"},
            {"name": "chore", "color": "#7F8C8D"},
        ],
        "cycles": [
            {"name": s.name, "start": s.start.isoformat(), "end": s.end.isoformat(), "description": s.goal}
            for s in SPRINTS
        ],
        "modules": modules,
        "issues": issues,
    }
    return TrackerProjectOverlay.model_validate(document)


def _issue(work: Work, number: int) -> dict[str, Any]:
    if work.closed:
        state = "Done"
    elif work.sprint:
        # The sprint begins today: what was opened long ago has been begun.
        state = "In Progress" if work.opened.date() < date(2026, 1, 12) else "Todo"
    else:
        state = "Backlog"
    comments = []
    if work.closed:
        comments.append({"from": work.assignee, "text": f"Done, see {work.ref}.", "at": work.closed})
    return {
        "title": work.title,
        "number": number,
        "description": f"{work.detail}\n\nForge: {work.ref}",
        "state": state,
        "priority": work.priority,
        "from": work.author,
        "assignees": [work.assignee] if work.sprint else [],
        "labels": [work.kind],
        "cycle": work.sprint.name if work.sprint else None,
        "module": work.product.name,
        "start": work.sprint.start.isoformat() if work.sprint else None,
        "due": work.sprint.end.isoformat() if work.sprint else None,
        "at": work.opened,
        "comments": comments,
    }


def _operations(world: World, taken: int) -> list[dict[str, Any]]:
    chance = world.chance("operations")
    issues = []
    for number, line in enumerate(data("operations"), taken + 1):
        title, detail, who, sprint_number, state = (part.strip() for part in line.split(" | "))
        sprint = SPRINTS[int(sprint_number) - 1] if sprint_number != "-" else None
        created = (
            working_time(chance, sprint.start)
            if sprint and state == "Done"
            else at(date(2026, 2, 20), 9, number % 60)
        )
        comments = []
        if state == "Done" and sprint:
            comments.append({"from": who, "text": "Done.", "at": working_time(chance, sprint.end)})
        elif state == "In Progress":
            manager = BY_NAME[who].manager or "sarah_johnson"
            comments.append(
                {"from": manager, "text": "How is it going?", "at": at(date(2026, 2, 27), 10, number % 60)}
            )
            comments.append(
                {"from": who, "text": "On time so far.", "at": at(date(2026, 2, 27), 13, number % 60)}
            )
        issues.append(
            {
                "title": title,
                "number": number,
                "description": detail,
                "state": state,
                "priority": chance.choice(("high", "medium", "medium", "low")),
                "from": BY_NAME[who].manager or "sarah_johnson",
                "assignees": [who],
                "labels": ["chore"],
                "cycle": sprint.name if sprint else None,
                "module": _MODULE_OF[who],
                "start": sprint.start.isoformat() if sprint else None,
                "due": sprint.end.isoformat() if sprint else None,
                "at": created,
                "comments": comments,
            }
        )  # fmt: skip
    return issues
