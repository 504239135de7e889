"""A forge project of ten issues, six of which belong in the tracker: one is there, one is there and stale."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import DEPARTMENTS, PRODUCTS, SYSTEMS

PEOPLE = (
    "alex_turner", "emily_zhou", "emma_lewis", "jessica_chen", "jessica_lee", "liu_qiang", "mark_johnson",
    "mike_chen", "priya_sharma", "wang_fang", "zhang_wei",
)  # fmt: skip
LEADS = ("huang_jie", "li_ming", "sophia_rodriguez")
LABELS = ("promised", "customer", "contract", "partner", "launch")
RAISING = ("escalated", "deadline", "waiting", "repeated")
SEVERITIES = (
    ("S1", "S2", "S3", "S4"),
    ("blocker", "serious", "moderate", "minor"),
    ("sev-a", "sev-b", "sev-c", "sev-d"),
)
PRIORITIES = ("urgent", "high", "medium", "low")
TITLES = (
    "{} orders are sent twice", "Prices of a {} lack the tax", "No stock is shown for the {}",
    "Search finds no {} by its number", "The {} catalogue loads for half a minute",
    "Returned {}s can't be entered", "Offer a {} in three sizes", "Warn before the last {} is sold",
    "Print labels for the {} in landscape", "Import {} suppliers from a spreadsheet",
    "Reviews of a {} vanish after a day", "Let clients reserve a {} by phone",
)  # fmt: skip
DECIDED = ("{} is {} for us", "Please make {} {}", "I'd say {} is {}, they ask every week", "{} should be {}")
OTHER_WORK = (
    "Plan the summer release",
    "Renew the test accounts",
    "Interview two clients",
    "Tidy the glossary",
)


def make(rng: random.Random) -> Made:
    department, system, other_system = rng.choice(DEPARTMENTS), *rng.sample(SYSTEMS, 2)
    project, key = f"{department}-{system}", department.upper()
    name = f"{department.capitalize()} {system.capitalize()}"
    label, raising, severities = rng.choice(LABELS), rng.choice(RAISING), rng.choice(SEVERITIES)
    lead = rng.choice(LEADS)
    knows, *authors = rng.sample(PEOPLE, 4)
    titles = [t.format(rng.choice(PRODUCTS)) for t in rng.sample(TITLES, 10)]
    numbers = rng.sample(range(2, 80), 10)
    fine, stale, new, raised, unrated, theirs, closed, *unlabelled = numbers
    levels = [rng.randint(1, 3) for _ in range(4)]
    """Indices of severities: of `fine`, `stale`, `new`, `raised`; the first is left to others."""
    tags = {
        fine: [label, severities[levels[0]]],
        stale: [label, severities[levels[1]], raising],
        new: [label, severities[levels[2]]],
        raised: [label, severities[levels[3]], raising],
        unrated: [label],
        theirs: [label],
        closed: [label, rng.choice(severities)],
        unlabelled[0]: [severities[0]],
        unlabelled[1]: [rng.choice(severities), raising],
        unlabelled[2]: [],
    }
    decided = [rng.choice(PRIORITIES) for _ in range(2)]
    answers = [
        rng.choice(DECIDED).format(f"#{number}", priority)
        for number, priority in zip((unrated, theirs), decided, strict=True)
    ]
    by_rule = {
        new: PRIORITIES[levels[2]],
        raised: PRIORITIES[levels[3] - 1],
        stale: PRIORITIES[levels[1] - 1],
    }
    title_of = dict(zip(numbers, titles, strict=True))
    tracked = rng.sample(range(2, 40), 6)
    # What is called like one that is new, and has its number, is of another project.
    there = [
        (title_of[fine], f"{project}#{fine}", PRIORITIES[levels[0]]),
        (title_of[stale], f"{project}#{stale}", PRIORITIES[levels[1]]),
        (title_of[new], f"{department}-{other_system}#{new}", "low"),
        *((title, "", rng.choice(PRIORITIES)) for title in rng.sample(OTHER_WORK, 3)),
    ]
    tickets = [
        {
            "title": title,
            "number": number,
            "description": f"{reference}\n\nSee there." if reference else "As agreed.",
            "priority": priority,
            "state": rng.choice(("Backlog", "Todo", "In Progress")),
        }
        for number, (title, reference, priority) in zip(tracked, there, strict=True)
    ]
    issues = [
        {
            "iid": number,
            "title": title_of[number],
            "description": "Reported by two clients." if rng.random() < 0.5 else "See the mail of last week.",
            "labels": sorted(tags[number]),
            "from": rng.choice(authors),
            "state": "closed" if number == closed else "opened",
            "notes": [{"from": lead, "text": f"Tracked as {key}-{tracked[0]}."}] if number == fine else [],
        }
        for number in sorted(numbers)
    ]
    rng.shuffle(tickets)
    return Made(
        values={"name": name, "project": project, "label": label},
        office={
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "description": f"What our clients of {department} see",
                        "members": {lead: "maintainer", **dict.fromkeys(authors, "developer")},
                        "labels": [{"name": n} for n in sorted([label, raising, *severities])],
                        "issues": issues,
                        "wiki": {
                            "Home": "See [[Tracker]] for what we promise to whom.",
                            "Tracker": _page(label, raising, severities, project, name, key, lead),
                        },
                    }
                ]
            },
            "tracker": {"projects": [{"name": name, "identifier": key, "lead": lead, "issues": tickets}]},
            "colleagues": {
                lead: {
                    "facts": [
                        {
                            "about": [f"#{unrated}", str(unrated), title_of[unrated]],
                            "answer": f"{answers[0]}.",
                        },
                        {
                            "about": [f"#{theirs}", str(theirs), title_of[theirs]],
                            "answer": f"#{theirs} isn't mine.",
                            "refer_to": knows,
                        },
                    ],
                    "fallback": "If it is about a priority: of which issue? Tell me its number.",
                },
                knows: {
                    "facts": [
                        {"about": [f"#{theirs}", str(theirs), title_of[theirs]], "answer": f"{answers[1]}."}
                    ],
                    "fallback": f"Is it something in {project}? Then tell me the number, please.",
                },
            },
        },
        facts={
            "project": project,
            "tracker": key,
            "new": [new, raised, unrated, theirs],
            "stale": [stale, f"{key}-{tracked[1]}"],
            "by_rule": {str(number): priority for number, priority in by_rule.items()},
            "decided": {
                str(unrated): [decided[0], lead, answers[0]],
                str(theirs): [decided[1], knows, answers[1]],
            },
            "issues": {str(i["iid"]): [i["title"], i["state"], i["labels"]] for i in issues},
            "noted": fine,
            "tickets": {f"{key}-{t['number']}": [t["title"], t["state"], t["priority"]] for t in tickets},
        },
    )


def _page(
    label: str, raising: str, severities: tuple[str, ...], project: str, name: str, key: str, lead: str
) -> str:
    levels = [f"| `{s}` | {p} |" for s, p in zip(severities, PRIORITIES, strict=True)]
    person = lead.replace("_", " ").title()
    return f"""What is open here and has the label `{label}` is in the tracker too, in the project {name} ({key}).

* The title there is the title here. The description begins with where it comes from, as in `{project}#7`: by that,
  and by nothing else, one sees which of ours it is.
* The priority follows from the severity:

| here | in the tracker |
|---|---|
{chr(10).join(levels)}

* With the label `{raising}` it is one step higher than that (urgent stays urgent).
* What has no severity has the priority that {person} (@{lead}) decides, or whoever is named there.
* Here, a comment says where it is tracked: `Tracked as {key}-7.` One is enough.
* When labels change, the priority follows.
"""
