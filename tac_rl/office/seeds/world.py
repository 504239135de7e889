"""The model of the company that everything else tells parts of: who works on what, when it was opened,
written, reviewed and released. Chat, forge, tracker and documents draw their facts from here only.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from tac_rl.office.seeds import products as catalogue
from tac_rl.office.seeds.calendar import (
    FIRST,
    LAST,
    SPRINTS,
    TODAY,
    Sprint,
    at,
    sprint_of,
    workday_near,
    workdays,
    working_time,
)
from tac_rl.office.seeds.people import COLLEAGUES
from tac_rl.office.seeds.products import Customer, Decision, Incident, Product, Vendor, Wish
from tac_rl.office.seeds.stories import Step, read_story

_NAMES = frozenset({"Unicode", "Robots", "DOT", "CSV", "Gatehouse"})
"""First words of titles that keep their capital."""

PLANNED = "planned"
"""The key of what the next sprint is about."""


@dataclass(frozen=True)
class Work:
    """One piece of work: an issue of the forge, often one of the tracker too."""

    product: Product
    number: int
    """In the forge's project."""
    kind: str
    """`bug`, `feature` or `chore`."""
    title: str
    detail: str
    key: str
    area: str
    author: str
    assignee: str
    reviewer: str
    priority: str
    """`urgent`, `high`, `medium` or `low`."""
    opened: datetime
    closed: datetime | None
    declined: bool
    """Closed without being done."""
    sprint: Sprint | None
    """In which it was or will be done."""

    @property
    def ref(self) -> str:
        """How people write it: `tidewater#12`."""
        return f"{self.product.path}#{self.number}"

    @property
    def title_in_text(self) -> str:
        """The title as part of a sentence."""
        keep = self.title.startswith('"') or self.title.split()[0] in _NAMES or self.title[1].isupper()
        return self.title if keep else self.title[0].lower() + self.title[1:]

    @property
    def version(self) -> str:
        """The milestone; empty without a sprint."""
        if self.sprint is None:
            return ""
        return "v0.3.0" if self.sprint.number <= 2 else "v0.4.0" if self.sprint.number <= 4 else "v0.5.0"


@dataclass(frozen=True)
class Change:
    """A step of a product's story, with author and time."""

    product: Product
    step: Step
    author: str
    at: datetime
    work: Work | None
    """The issue it closes."""


@dataclass(frozen=True)
class Release:
    product: Product
    version: str
    """Such as `0.3.1`."""
    at: datetime
    changes: tuple[Change, ...]
    """Since the one before."""


@dataclass(frozen=True)
class Leave:
    person: str
    first: date
    last: date
    cover: str


@dataclass(frozen=True)
class World:
    seed: int
    products: tuple[Product, ...]
    customers: tuple[Customer, ...]
    vendors: tuple[Vendor, ...]
    incidents: tuple[Incident, ...]
    decisions: tuple[Decision, ...]
    works: tuple[Work, ...]
    """By product, then number."""
    changes: tuple[Change, ...]
    """By product, then time."""
    releases: tuple[Release, ...]
    leaves: tuple[Leave, ...]
    by_key: dict[tuple[str, str], Work] = field(repr=False)
    """(product's name, key) -> work."""

    def chance(self, purpose: str) -> random.Random:
        """Chance for one purpose, so that one part can be changed without changing the others."""
        return random.Random(f"company {self.seed} {purpose}")

    def works_of(self, product: Product) -> list[Work]:
        return [work for work in self.works if work.product is product]

    def changes_of(self, product: Product) -> list[Change]:
        return [change for change in self.changes if change.product is product]

    def away(self, person: str, day: date) -> bool:
        return any(leave.person == person and leave.first <= day <= leave.last for leave in self.leaves)

    def product(self, name: str) -> Product:
        return next(product for product in self.products if product.name == name)


def make_world(seed: int) -> World:
    """The company that follows from a seed."""
    chance = random.Random(f"company {seed}")
    incidents = {(incident.product, incident.key): incident for incident in catalogue.incidents()}
    works: list[Work] = []
    changes: list[Change] = []
    for product in catalogue.products():
        dated = _dated(product, incidents, chance)
        fixed = {step.key: (author, when) for step, author, when in dated if step.key}
        made = _works(product, fixed, incidents, chance)
        works += made
        by_key = {work.key: work for work in made if work.key in fixed}
        changes += [Change(product, step, who, when, by_key.get(step.key)) for step, who, when in dated]
    releases = _releases(changes, incidents)
    return World(
        seed=seed,
        products=catalogue.products(),
        customers=catalogue.customers(),
        vendors=catalogue.vendors(),
        incidents=catalogue.incidents(),
        decisions=catalogue.decisions(),
        works=tuple(works),
        changes=tuple(changes),
        releases=tuple(releases),
        leaves=tuple(_leaves(chance, _busy(works, changes, releases))),
        by_key={(work.product.name, work.key): work for work in works if work.key not in ("", PLANNED)},
    )


def _dated(
    product: Product, incidents: dict[tuple[str, str], Incident], chance: random.Random
) -> list[tuple[Step, str, datetime]]:
    """Each step of the story with its author and time: foundations until December, repairs in the eight weeks."""
    story = read_story(product.path)
    first_fix = next((n for n, step in enumerate(story) if step.key), len(story))
    early, late = story[:first_fix], story[first_fix:]
    autumn = workdays(product.started + timedelta(4), date(2025, 12, 19))
    winter = workdays(date(2026, 1, 8), date(2026, 2, 24))
    repairs = {(p, key): at(workday_near(i.at.date() + timedelta(1)), 9) for (p, key), i in incidents.items()}
    dated = []
    for steps, days in ((early, autumn), (late, winter)):
        mainline = [step for step in steps if not step.branch]
        fixed = [repairs.get((product.name, step.key)) for step in mainline]
        times = dict(zip((id(step) for step in mainline), _spread(days, fixed, chance), strict=True))
        for step in steps:
            alone = repairs.get((product.name, step.key)) or working_time(chance, chance.choice(days))
            when = times.get(id(step), alone)
            incident = incidents.get((product.name, step.key))
            author = incident.fixed_by if incident else chance.choice((product.lead, *product.members))
            dated.append((step, author, when))
    return sorted(dated, key=lambda entry: entry[2])


def _spread(days: list[date], fixed: list[datetime | None], chance: random.Random) -> list[datetime]:
    """Rising times within the days, one for each entry of `fixed`: the ones that are given stay as they are."""
    times: list[datetime] = []
    left = list(days)
    for n, given in enumerate(fixed):
        if given is not None:
            times.append(given + timedelta(minutes=chance.randrange(60)))
            left = [day for day in left if day > given.date()]
            continue
        ahead = next((k for k in range(n, len(fixed)) if fixed[k] is not None), None)
        end = fixed[ahead] if ahead is not None else None
        room = [day for day in left if end is None or day < end.date()]
        share = (ahead if ahead is not None else len(fixed)) - n
        # One of the first days of an equal share of what is left, at least one day for each to come.
        index = min(int(len(room) / share * chance.uniform(0.2, 0.8)), len(room) - share)
        times.append(working_time(chance, room[index]))
        left = [day for day in left if day > room[index]]
    return times


def _works(
    product: Product,
    fixed: dict[str, tuple[str, datetime]],
    incidents: dict[tuple[str, str], Incident],
    chance: random.Random,
) -> list[Work]:
    chores = [_filled(wish, product, chance) for wish in catalogue.chores()]
    chores = chance.sample(chores, 13)
    wishes = [("bug", w) for w in product.bugs] + [("feature", w) for w in product.features]
    works = []
    for kind, wish in wishes + [("chore", wish) for wish in chores]:
        works.append(_work(product, kind, wish, fixed, incidents, chance))
    works.sort(key=lambda work: work.opened)
    return [replace(work, number=n) for n, work in enumerate(works, 1)]


def _work(
    product: Product,
    kind: str,
    wish: Wish,
    fixed: dict[str, tuple[str, datetime]],
    incidents: dict[tuple[str, str], Incident],
    chance: random.Random,
) -> Work:
    """Who does it and when; its number is given later."""
    people = tuple(dict.fromkeys((product.lead, *product.members)))
    incident = incidents.get((product.name, wish.key))
    opened, closed, sprint, declined = _dates(kind, wish, fixed, incident, chance)
    assignee = fixed[wish.key][0] if wish.key in fixed else chance.choice(people)
    others = [person for person in people if person != assignee]
    authors = [*others, "liu_qiang", "mark_johnson"] if kind == "bug" else [*others, product.lead]
    weights = {"bug": (1, 4, 5, 2), "feature": (0, 2, 5, 5), "chore": (0, 0, 4, 8)}[kind]
    priority = chance.choices(("urgent", "high", "medium", "low"), weights)[0]
    return Work(
        product=product,
        number=0,
        kind=kind,
        title=wish.title,
        detail=wish.detail,
        key=wish.key,
        area=_area(wish, product, chance),
        author=incident.found_by if incident else chance.choice(authors),
        assignee=assignee,
        reviewer=chance.choice(others),
        priority=("urgent", "high", "medium")[incident.severity - 1] if incident else priority,
        opened=opened,
        closed=closed,
        declined=declined,
        sprint=sprint,
    )


def _dates(
    kind: str,
    wish: Wish,
    fixed: dict[str, tuple[str, datetime]],
    incident: Incident | None,
    chance: random.Random,
) -> tuple[datetime, datetime | None, Sprint | None, bool]:
    """(opened, closed, sprint, declined). A story's commit closes what has a key."""
    if wish.key and wish.key != PLANNED:
        closed = fixed[wish.key][1]
        opened = incident.at if incident else _before(closed, chance)
        return opened, closed, sprint_of(closed.date()), False
    opened = working_time(chance, chance.choice(workdays(date(2025, 12, 1), date(2026, 2, 25))))
    fate = 0.5 if wish.key == PLANNED else chance.random()
    end = working_time(chance, chance.choice(workdays(max(opened.date() + timedelta(1), FIRST), LAST)))
    if kind == "chore" and fate < 0.62:
        return opened, end, sprint_of(end.date()), False
    if kind != "chore" and fate < 0.18:
        return opened, end, None, True
    return opened, None, SPRINTS[4] if fate < 0.62 else None, False


def _before(closed: datetime, chance: random.Random) -> datetime:
    """A working time, some days before."""
    day = closed.date() - timedelta(chance.randint(2, 9))
    while day.weekday() >= 5:
        day -= timedelta(1)
    return working_time(chance, day)


def _filled(wish: Wish, product: Product, chance: random.Random) -> Wish:
    slots = {"area": chance.choice(product.areas), "name": product.name}
    return Wish(wish.title.format(**slots), wish.detail.format(**slots), "")


def _area(wish: Wish, product: Product, chance: random.Random) -> str:
    """The area that the title names, else any."""
    named = [area for area in product.areas if area.rstrip("s") in wish.title.lower()]
    return named[0] if named else chance.choice(product.areas)


def _releases(changes: list[Change], incidents: dict[tuple[str, str], Incident]) -> list[Release]:
    """Versions 0.1.0 to 0.4.0 on fixed Thursdays, and a patch two days after each incident."""
    releases = []
    for n, product in enumerate(catalogue.products()):
        dates = {
            "0.1.0": at(date(2025, 10, 30), 10, 4 + 5 * n),
            "0.2.0": at(date(2025, 12, 18), 10, 4 + 5 * n),
            "0.3.0": at(date(2026, 1, 29), 10, 4 + 5 * n),
            "0.4.0": at(date(2026, 2, 26), 10, 4 + 5 * n),
        }
        for (name, _), incident in incidents.items():
            if name == product.name:
                day = workday_near(incident.at.date() + timedelta(2))
                minor = "0.2.1" if at(day, 10) < dates["0.3.0"] else "0.3.1"
                dates[minor] = at(day, 10, 15)
        since = at(product.started, 0)
        for version, when in sorted(dates.items(), key=lambda item: item[1]):
            own = (c for c in changes if c.product is product and since < c.at <= when)
            releases.append(Release(product, version, when, tuple(own)))
            since = when
    return releases


def _busy(works: list[Work], changes: list[Change], releases: list[Release]) -> set[tuple[str, date]]:
    """Who was certainly at work on which day."""
    busy = {(change.author, change.at.date()) for change in changes}
    for work in works:
        busy.add((work.author, work.opened.date()))
        if work.closed:
            busy |= {(work.assignee, work.closed.date()), (work.reviewer, work.closed.date())}
    for incident in catalogue.incidents():
        for day in range(4):
            when = incident.at.date() + timedelta(day)
            busy |= {(incident.found_by, when), (incident.fixed_by, when)}
        busy |= {("liu_qiang", incident.at.date()), ("mark_johnson", incident.at.date())}
    for decision in catalogue.decisions():
        busy |= {(decision.by, decision.day), (decision.by, decision.day + timedelta(1))}
    busy.add(("chen_xinyi", TODAY))
    return busy | {(release.product.lead, release.at.date()) for release in releases}


def _leaves(chance: random.Random, busy: set[tuple[str, date]]) -> list[Leave]:
    """Absences of a few days on which nobody expects the person, covered by somebody of the department."""
    leaves: list[Leave] = []
    for employee in COLLEAGUES:
        name = employee.username
        peers = [e.username for e in COLLEAGUES if e.department == employee.department and e is not employee]
        free = 0 if name == "sarah_johnson" else chance.choice((1, 1, 2))
        for _ in range(12):
            first = chance.choice(workdays(date(2026, 1, 12), date(2026, 3, 20)))
            last = workday_near(first + timedelta(chance.randint(0, 5)))
            days = [first + timedelta(n) for n in range((last - first).days + 1)]
            taken = any(own.person == name and own.first <= last and first <= own.last for own in leaves)
            if free and not taken and not any((name, day) in busy for day in days):
                leaves.append(Leave(name, first, last, chance.choice(peers)))
                free -= 1
    return sorted(leaves, key=lambda leave: (leave.first, leave.person))
