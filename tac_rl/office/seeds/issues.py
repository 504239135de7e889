"""The forge's section: projects with their histories, issues, milestones, merge requests, wikis and pipelines."""

import random
from datetime import timedelta
from typing import Any

from tac_rl.office.overlay import ForgeOverlay, ForgeProjectOverlay
from tac_rl.office.seeds.calendar import short
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import Product
from tac_rl.office.seeds.repositories import History, Request
from tac_rl.office.seeds.world import Work, World

_LABELS = {
    "bug": ("#D9534F", "Something does not work as it should"),
    "feature": ("#428BCA", "Something new"),
    "chore": ("#7F8C8D", "Has to be done, nobody will notice"),
    "incident": ("#8E44AD", "Customers noticed"),
    "declined": ("#BDC3C7", "Closed without being done"),
    "priority::urgent": ("#C0392B", "Now"),
    "priority::high": ("#E67E22", "This sprint"),
    "priority::medium": ("#F1C40F", "This quarter"),
    "priority::low": ("#95A5A6", "Some day"),
}
_MILESTONES = (("v0.3.0", "2026-01-29"), ("v0.4.0", "2026-02-26"), ("v0.5.0", "2026-03-26"))
_STARTS = (
    "I begin with this in {sprint}.",
    "Taking this for {sprint}.",
    "On my list for {sprint}; tell me if it should be earlier.",
    "I looked at it for half an hour: doable, {sprint}.",
)
_TALKS = (
    ("How often does it happen?", "Every time, once you know how."),
    ("Is there a workaround until then?", "Yes, and I hate it. Please fix this one properly."),
    ("Does this touch anything besides {area}?", "As far as I can see it does not."),
    ("Who would test this?", "I will. Send me the branch."),
    ("Could this wait for the next version?", "It could, but not longer."),
    ("Is there an example that I may use in a test?", "Made one up that shows the same: take the smallest that fails."),
    ("Should the handbook say something about this?", "One sentence, after it is done."),
)  # fmt: skip
_OUTCOMES = {
    "Raise test": "{area} is above 80 % now, and the pipeline holds it there.",
    "Review the open": "Talked it through with the team. Nothing is open about {area} that is not an issue by now.",
    "Measure": "Numbers are in the wiki. {area_cap} holds twice what our largest customer sends.",
    "Remove code": "Looked through {area} with the linter and by hand: nothing that nobody calls is left.",
    "Make error": "Went through what support collected; the rest of the messages in {area} is fine.",
    "Split the": "Read it again with fresh eyes: it is one thing, and can be read in one sitting after all.",
    "Try the release": "{helper} followed the README without help. One word was unclear and is clear now.",
    "Agree on": "Agreed in planning; the roadmap in the drive has it.",
    "Check licences": "List is with David. Nothing in it that we may not ship.",
    "Answer questions": "All answered, by mail.",
    "Try ": "Took the data of {customer}: no surprises.",
    "Clean up": "Closed what nobody asked for, and renamed two labels.",
}
_DECLINED = (
    "Closing: nobody has asked for this since it was written, and it would cost a week.",
    "Not this year. We open it again when a second customer asks.",
    "We decided against it in planning: the workaround is good enough for the few who need it.",
)


def forge_section(world: World, histories: tuple[History, ...]) -> ForgeOverlay:
    """All projects, in the group `root` as TAC's are."""
    return ForgeOverlay(projects=tuple(_project(world, history) for history in histories))


def _project(world: World, history: History) -> ForgeProjectOverlay:
    product = history.product
    chance = world.chance(f"issues {product.path}")
    members = dict.fromkeys(product.members, "developer") | {product.lead: "maintainer"}
    members.setdefault("sarah_johnson", "owner")
    members.setdefault("liu_qiang", "reporter")
    labels = {**_LABELS, **{area: ("#1ABC9C", f"About {area}") for area in product.areas}}
    document = {
        "path": f"root/{product.path}",
        "description": f"{product.name}: {product.tagline[0].lower()}{product.tagline[1:]}",
        "members": members,
        "commits": history.commits,
        "protected_branches": ("main",),
        "labels": [{"name": n, "color": color, "description": text} for n, (color, text) in labels.items()],
        "milestones": [
            {"title": title, "due": due, "state": "active" if title == "v0.5.0" else "closed"}
            for title, due in _MILESTONES
        ],
        "issues": [_issue(world, history, work, chance) for work in world.works_of(product)],
        "merge_requests": [_merge_request(request, chance) for request in history.requests],
        "wiki": _wiki(world, product),
        "pipelines": _pipelines(world, history),
    }
    return ForgeProjectOverlay.model_validate(document)


def _issue(world: World, history: History, work: Work, chance: random.Random) -> dict[str, Any]:
    incident = any(i.product == work.product.name and i.key == work.key for i in world.incidents)
    labels = [work.kind, work.area, f"priority::{work.priority}"]
    labels += ["incident"] * incident + ["declined"] * work.declined
    return {
        "iid": work.number,
        "title": work.title,
        "description": work.detail,
        "state": "opened" if work.closed is None else "closed",
        "from": work.author,
        "assignees": [work.assignee] if work.sprint or work.closed or chance.random() < 0.4 else [],
        "labels": labels,
        "milestone": work.version or None,
        "at": work.opened,
        "notes": _notes(world, history, work, chance),
    }


def _notes(world: World, history: History, work: Work, chance: random.Random) -> list[dict[str, Any]]:
    """What was said, in order: the incident, questions, the plan, how it ended."""
    said: list[tuple[str, str]] = []
    for incident in world.incidents:
        if incident.product == work.product.name and incident.key == work.key:
            said.append(
                (
                    incident.found_by,
                    f"First seen at {incident.at:%H:%M} UTC; {incident.customer} is affected.",
                )
            )
            said.append((incident.fixed_by, f"Cause: {incident.cause}. For good: {incident.change}."))
    if chance.random() < 0.45:
        question, answer = chance.choice(_TALKS)
        said += [(work.assignee, question.format(area=work.area)), (work.author, answer)]
    if work.sprint and chance.random() < 0.6:
        said.append((work.assignee, chance.choice(_STARTS).format(sprint=work.sprint.name)))
    when = work.opened
    notes = []
    for who, text in said:
        when += timedelta(minutes=chance.randint(6, 40))
        if work.closed and when >= work.closed:
            when = work.closed - timedelta(minutes=5)
        notes.append({"from": who, "text": text, "at": when})
    if work.closed:
        who, text = _ending(world, history, work, chance)
        notes.append({"from": who, "text": text, "at": work.closed})
    return notes


def _ending(world: World, history: History, work: Work, chance: random.Random) -> tuple[str, str]:
    if work.declined:
        return work.product.lead, chance.choice(_DECLINED)
    for request in history.requests:
        if request.work is work and request.state == "merged":
            return work.assignee, f"Done in !{request.number}."
    for commit in history.commits:
        if commit.message.endswith(f"Closes #{work.number}"):
            return work.assignee, f"Done with the commit “{commit.message.splitlines()[0]}”."
    users = [c.name for c in world.customers if work.product.name in c.products] or ["a customer"]
    slots = {
        "area": work.area,
        "area_cap": work.area.capitalize(),
        "helper": BY_NAME[work.reviewer].short,
        "customer": chance.choice(users),
    }
    outcome = next((text for start, text in _OUTCOMES.items() if work.title.startswith(start)), "Done.")
    return work.assignee, outcome.format(**slots)


def _merge_request(request: Request, chance: random.Random) -> dict[str, Any]:
    remarks = (
        "Looks good. One name is longer than it needs to be, otherwise ready.",
        "I tried it with the sample from the drive, works.",
        "Could you add the case where there is nothing at all?",
        "Why here and not one level higher? Not a request, I'd like to understand.",
        "Nice and small. Thank you for the test.",
    )
    answers = ("Done.", "Good point, changed.", "I tried that first; this way it can be tested alone.")
    when = request.opened + timedelta(minutes=chance.randint(10, 30))
    notes = [{"from": request.reviewer, "text": chance.choice(remarks), "at": when}]
    if chance.random() < 0.6:
        when += timedelta(minutes=chance.randint(5, 20))
        notes.append({"from": request.author, "text": chance.choice(answers), "at": when})
    if request.state == "merged":
        notes.append(
            {"from": request.reviewer, "text": "Approved.", "at": request.opened + timedelta(minutes=80)}
        )
    if request.state == "closed":
        text = "Closing this one together with the issue."
        notes.append({"from": request.author, "text": text, "at": request.opened + timedelta(hours=4)})
    return {
        "iid": request.number,
        "title": request.title,
        "source_branch": request.branch,
        "state": request.state,
        "description": request.text,
        "from": request.author,
        "assignees": [request.author],
        "reviewers": [request.reviewer],
        "labels": [request.work.area] if request.work else [],
        "at": request.opened,
        "notes": notes,
    }


def _wiki(world: World, product: Product) -> dict[str, str]:
    people = "\n".join(
        f"* {BY_NAME[name].name}, {BY_NAME[name].title}"
        for name in dict.fromkeys((product.lead, *product.members))
    )
    decided = "\n".join(
        f"* {d.what} ({short(d.day)}, {d.quarter})" for d in world.decisions if d.product == product.name
    )
    releases = "\n".join(f"* {r.version}: {r.at:%Y-%m-%d}" for r in world.releases if r.product is product)
    pages = {
        "Home": f"{product.tagline}.\n\n## People\n\n{people}\n\n## Pages\n\n* [[Decisions]]\n* [[Releases]]\n",
        "Decisions": decided + "\n" if decided else "None that are about this product only.\n",
        "Releases": releases + "\n",
    }
    measured = [w for w in world.works_of(product) if w.title.startswith("Measure ") and w.closed]
    for work in measured:
        pages[f"Load of {work.area}"] = (
            f"Measured by {BY_NAME[work.assignee].name} for #{work.number}: twice the data of our largest customer, "
            f"one hour, no errors in {work.area}.\n"
        )
    return pages


def _pipelines(world: World, history: History) -> list[dict[str, Any]]:
    """One for each of the last commits of the default branch; before an incident's repair one that failed."""
    repaired = {
        f"Closes #{world.by_key[i.product, i.key].number}"
        for i in world.incidents
        if i.product == history.product.name
    }
    pipelines = []
    for commit in [c for c in history.commits if c.branch is None][-8:]:
        assert commit.at is not None
        if commit.message.splitlines()[-1] in repaired:
            pipelines.append({"ref": "main", "status": "failed", "at": commit.at - timedelta(minutes=50)})
        pipelines.append({"ref": "main", "status": "success", "at": commit.at + timedelta(minutes=3)})
    return pipelines
