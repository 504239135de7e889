"""A sprint with ten to twelve issues: three are finished and not yet Done, four move on."""

import random
from datetime import date, timedelta

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, CODENAMES, PRODUCTS, SYSTEMS

PEOPLE = (
    "alex_turner", "emily_zhou", "emma_lewis", "huang_jie", "jessica_chen", "li_ming", "liu_qiang", "mike_chen",
    "priya_sharma", "sophia_rodriguez", "wang_fang", "zhang_wei",
)  # fmt: skip
VERBS = ("Speed up", "Document", "Test", "Clean up", "Rewrite", "Translate", "Measure", "Secure")
FINISHED = ("{} is finished, I forgot to move it", "{} is done and merged", "{} is done, live since {}")
UNFINISHED = (
    "{} is not finished, the tests are missing",
    "{} still needs a day or two",
    "{} waits for a review",
)
ASKED = ("sprint", "finished", "done", "status", "state", "ready", "open", "progress", "issue", "issues")


def make(rng: random.Random) -> Made:
    code, system = rng.choice(CODENAMES), rng.choice(SYSTEMS)
    key = code.upper()
    lead, both, terse, gone, heir, late = rng.sample(PEOPLE, 6)
    cities = [city.capitalize() for city in rng.sample(CITIES, 5)]
    numbers = rng.sample(range(3, 60), 24)
    titles = iter(rng.sample([f"{verb} the {product} page" for verb in VERBS for product in PRODUCTS], 24))
    issues: list[dict[str, object]] = []

    def add(cycle: str | None, state: str, *who: str) -> str:
        """The key of a new issue."""
        number = numbers[len(issues)]
        entry = {"title": next(titles), "number": number, "state": state, "assignees": who, "cycle": cycle}
        issues.append(entry)
        return f"{key}-{number}"

    before, old, new = cities[1:4]
    done = rng.randint(2, 4)
    for _ in range(done):
        add(old, "Done", rng.choice((both, terse, late)))
    cancelled = rng.randint(1, 2)
    for _ in range(cancelled):
        add(old, "Cancelled", rng.choice((terse, gone)))
    begun = [rng.choice(("Todo", "In Progress")) for _ in range(7)]
    # Whoever has two gets one of each kind.
    first, second, third = (add(old, begun.pop(), who) for who in (both, terse, gone))
    open_first, open_second, open_late = (add(old, begun.pop(), who) for who in (both, terse, late))
    nobodys = add(old, begun.pop())
    for cycle, state in (
        (before, "Done"),
        (before, "Done"),
        (new, "Todo"),
        (new, "Backlog"),
        (None, "Backlog"),
    ):
        add(cycle, state, rng.choice(PEOPLE))
    finished, unfinished = [first, second, third], [open_first, open_second, open_late, nobodys]
    answers = {
        both: _two(rng, first, open_first),
        terse: _two(rng, second, open_second),
        heir: _say(rng, FINISHED, third),
        late: _say(rng, UNFINISHED, open_late),
    }
    rng.shuffle(issues)
    room = f"{code}-{system}"
    start = date(2026, 1, 5) + timedelta(days=7 * rng.randint(0, 3))
    return Made(
        values={"sprint": old, "project": f"{code.capitalize()} {system.capitalize()}"},
        office={
            "chat": {"channels": [_channel(rng, room, lead, cities, (both, terse, gone, heir, late))]},
            "tracker": {
                "projects": [
                    {
                        "name": f"{code.capitalize()} {system.capitalize()}",
                        "identifier": key,
                        "lead": lead,
                        "cycles": [_cycle(name, start, n) for n, name in enumerate(cities)],
                        "issues": issues,
                    }
                ]
            },
            "colleagues": {
                both: _knows({"about": [*ASKED, first, open_first], "answer": answers[both]}),
                terse: _knows(
                    {
                        "about": [*ASKED, second, open_second],
                        "answer": answers[terse],
                        "needs": [second, open_second],
                        "ask": "I work on several things. Which issue is it about? Tell me its key.",
                    }
                ),
                gone: _knows({"about": [*ASKED, third], "refer_to": heir}),
                heir: _knows({"about": [*ASKED, third], "answer": answers[heir]}),
                late: _knows({"about": [*ASKED, open_late], "answer": answers[late]}),
            },
        },
        facts={
            "project": key,
            "room": room,
            "old": old,
            "new": new,
            "cycles": cities,
            "finished": finished,
            "unfinished": unfinished,
            "states": {f"{key}-{issue['number']}": issue["state"] for issue in issues},
            "in_cycle": {f"{key}-{issue['number']}": issue["cycle"] for issue in issues},
            "numbers": [done + 3, 4, cancelled],
            "answers": answers,
        },
    )


def _say(rng: random.Random, phrases: tuple[str, ...], key: str) -> str:
    return rng.choice(phrases).format(key, rng.choice(("Tuesday", "Wednesday", "Thursday")))


def _two(rng: random.Random, finished: str, unfinished: str) -> str:
    parts = [_say(rng, FINISHED, finished), _say(rng, UNFINISHED, unfinished)]
    rng.shuffle(parts)
    return f"{parts[0]}. {parts[1]}."


def _cycle(name: str, start: date, number: int) -> dict[str, str]:
    first = start + timedelta(days=14 * number)
    return {"name": name, "start": first.isoformat(), "end": (first + timedelta(days=11)).isoformat()}


def _channel(
    rng: random.Random, name: str, lead: str, cities: list[str], members: tuple[str, ...]
) -> dict[str, object]:
    """The first two sprints have their summaries there, between other talk."""
    talk = [
        (members[0], "The new monitor is in the small room, help yourselves."),
        (
            lead,
            f"{cities[0]}: {rng.randint(4, 9)} done, {rng.randint(1, 5)} moved to {cities[1]}, 0 cancelled",
        ),
        (members[4], f"Thanks all. {cities[0]} felt long."),
        (
            lead,
            f"{cities[1]}: {rng.randint(4, 9)} done, {rng.randint(1, 5)} moved to {cities[2]}, 1 cancelled",
        ),
        (members[1], "I am in the workshop until noon."),
    ]
    return {
        "name": name,
        "topic": f"All about {name.replace('-', ' ')}",
        "members": [lead, *members],
        "messages": [{"from": who, "text": text} for who, text in talk],
    }


def _knows(fact: dict[str, object]) -> dict[str, object]:
    return {"facts": [fact], "fallback": "Sorry, what is it about? Something in the sprint?"}
