"""A repository of three modules with a history: the busiest person is not the one who knows a module, another branch
tells another story, and one of those who do know doesn't want to be named."""

import random
from collections import Counter
from datetime import datetime, timedelta

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, SYSTEMS

PEOPLE = {
    "li_ming": "Li Ming",
    "zhang_wei": "Zhang Wei",
    "wang_fang": "Wang Fang",
    "mike_chen": "Mike Chen",
    "emily_zhou": "Emily Zhou",
    "alex_turner": "Alex Turner",
    "emma_lewis": "Emma Lewis",
    "jessica_chen": "Jessica Chen",
}
ASKERS = {
    "sarah_johnson": "Sarah Johnson",
    "priya_sharma": "Priya Sharma",
    "huang_jie": "Huang Jie",
    "liu_qiang": "Liu Qiang",
}
KINDS = ("experts", "contacts", "owners", "guides")
SEASONS = {"spring 2025": "2025-04-11", "summer 2025": "2025-06-30", "autumn 2025": "2025-09-22"}
"""Of the older page, with its day."""
DONE = (
    "Faster {}",
    "Fix an error in the {}",
    "Tests for the {}",
    "Simpler {}",
    "The {} tells why",
    "Limits in the {}",
)
HOW = """A page has the title {Kind}, then season and year, such as {Kind} {before}. Older pages stay as they are.

- The first line says what it is about. Then comes a table with one row for each module (a folder in src), from a to z.
- The person is whoever has made the most commits that change something in the module's folder. Only the branch main
  counts. The last column says how many of these commits they have made.
- Everybody on the page has said yes to this page. Who says no names somebody else. They are asked too, and they stand
  in the row with the number of their own commits.
- The last line tells the day of the newest commit on main.
"""


def make(rng: random.Random) -> Made:
    project = f"{rng.choice(CODENAMES)}-{rng.choice(('lab', 'kit', 'core', 'suite', 'works'))}"
    kind, asker = rng.choice(KINDS), rng.choice(list(ASKERS))
    before, season = rng.choice(list(SEASONS)), rng.choice(("spring 2026", "summer 2026"))
    modules = sorted(rng.sample(SYSTEMS, 3))
    first, second, third, heir, rival, busy = rng.sample(list(PEOPLE), 6)
    knows = dict(zip(rng.sample(modules, 3), (first, second, third), strict=True))
    declined, contested, _ = knows  # Whose expert says no, and where another branch has a rival.
    touched = _touched(rng, knows, {declined: heir, contested: rival}, busy)
    commits, newest = _commits(rng, project, touched)
    commits += _branch(rng, contested, rival, newest)
    counts = {m: Counter(who for who, paths in touched if m in paths) for m in modules}
    people = {**knows, declined: heir}
    rows = [[m, PEOPLE[people[m]], f"@{people[m]}", str(counts[m][people[m]])] for m in modules]
    title = f"{kind.title()} {season}"
    named = zip(modules[:2], (busy, rival), strict=True)
    old = [[m, PEOPLE[who], f"@{who}", str(rng.randint(3, 9))] for m, who in named]
    wiki = {
        f"How we make {kind} pages": HOW.format(Kind=kind.title(), before=before),
        f"{kind.title()} {before}": _page(project, old, SEASONS[before]),
        "Home": f"# {project}\n\nModules: {', '.join(modules)}.\n",
    }
    says = {who: f"Yes, you may name me for the {m}." for m, who in knows.items()}
    says[knows[declined]] = f"Please not me, I have left the {declined} to somebody else."
    says[heir] = f"Yes, the {declined} is mine now. Name me."
    about = _about(project, kind, modules)
    needs = {
        "needs": ["wiki", "page", "pages", f"{kind} {season}"],
        "ask": f"Named where? Is it about {project}?",
    }
    colleagues = {
        who: {"facts": [{"about": about, "answer": answer, **needs}]} for who, answer in says.items()
    }
    colleagues[knows[declined]]["facts"][0]["refer_to"] = heir
    for who in (rival, busy):
        colleagues[who] = {"facts": [{"about": about, "answer": "If you think that it helps, yes."}]}
    colleagues[asker] = {"fallback": "Thank you, I'll pass it on."}
    return Made(
        values={
            "project": project,
            "kind": kind,
            "season": season,
            "asker": ASKERS[asker],
            "username": asker,
        },
        office={
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "description": f"{', '.join(modules)} in one place",
                        "commits": commits,
                        "wiki": wiki,
                    }
                ]
            },
            "colleagues": colleagues,
        },
        facts={
            "project": project,
            "title": title,
            "asker": asker,
            "experts": {who: says[who] for who in knows.values()},
            "heir": {heir: says[heir]},
            "declined": declined,
            "rows": rows,
            "page": _page(project, rows, str(newest.date())),
            "wiki": wiki,
        },
    )


def _about(project: str, kind: str, modules: list[str]) -> list[str]:
    return [project, kind, kind[:-1], "page", "named", "name", "wiki", "module", *modules]


def _touched(
    rng: random.Random, knows: dict[str, str], seconds: dict[str, str], busy: str
) -> list[tuple[str, tuple[str, ...]]]:
    """Who made a commit and which modules it changed ("docs" for none), in no order."""
    made: list[tuple[str, tuple[str, ...]]] = []
    for module, who in knows.items():
        most = rng.randint(6, 9)
        made += [(who, (module,))] * most
        others = [person for person in knows.values() if person != who]
        made += [(person, (module,)) for person in others for _ in range(rng.randint(0, 2))]
        made += [(seconds[module], (module,))] * rng.randint(most - 3, most - 2) if module in seconds else []
        made += [(busy, (module,))] * rng.randint(1, 3)
    made += [(busy, ("docs",))] * rng.randint(9, 12)
    # The busy one has also cleaned up in two modules at once, which counts for both.
    made += [(busy, tuple(sorted(rng.sample(list(knows), 2)))) for _ in range(2)]
    rng.shuffle(made)
    return made


def _commits(
    rng: random.Random, project: str, touched: list[tuple[str, tuple[str, ...]]]
) -> tuple[list[dict], datetime]:
    """The commits of main, and when the last one was made."""
    when = datetime(2025, 10, rng.randint(6, 31), 9, 0)
    start = {"message": "Begin", "from": touched[0][0], "files": {"README.md": f"# {project}\n"}}
    commits = [{**start, "at": when.isoformat()}]
    for number, (who, modules) in enumerate(touched, 1):
        when += timedelta(minutes=rng.randint(400, 3200))
        paths = [
            f"docs/{rng.choice('abc')}.md" if m == "docs" else f"src/{m}/{rng.choice('xyz')}.py"
            for m in modules
        ]
        commits.append(
            {
                "message": rng.choice(DONE).format(" and the ".join(modules)),
                "from": who,
                "at": when.isoformat(),
                "files": {path: f"# {number}\n" + "pass\n" * rng.randint(1, 20) for path in paths},
            }
        )
    return commits, when


def _branch(rng: random.Random, module: str, rival: str, newest: datetime) -> list[dict]:
    """A branch on which somebody has done more than the module's expert ever did."""
    return [
        {
            "message": f"Try another {module}, part {n}",
            "from": rival,
            "at": (newest + timedelta(hours=n)).isoformat(),
            "branch": "experiment",
            "files": {f"src/{module}/{rng.choice('xyz')}.py": f"# try {n}\n" * rng.randint(1, 9)},
        }
        for n in range(1, rng.randint(6, 8))
    ]


def _page(project: str, rows: list[list[str]], day: str) -> str:
    lines = [["Module", "Person", "Account", "Commits"], ["---"] * 4, *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"Whom to ask about {project}.\n\n{table}\nAs of {day}.\n"
