"""A colleague who knows three budgets, and a room to announce one in."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FIRST_NAMES, SYSTEMS


def make(rng: random.Random) -> Made:
    projects, budgets = rng.sample(CODENAMES, 3), rng.sample(range(20, 99), 3)
    name, room = rng.choice(FIRST_NAMES), rng.choice(SYSTEMS)
    return Made(
        values={"name": name, "project": projects[0], "room": room},
        office={
            "people": [{"username": name, "name": name.capitalize()}],
            "chat": {"channels": [{"name": room, "members": [name]}]},
            "colleagues": {
                name: {
                    "facts": [
                        {"about": [p], "answer": f"the budget of {p} is {b}"}
                        for p, b in sorted(zip(projects, budgets, strict=True))
                    ]
                }
            },
        },
        facts={"room": room, "budget": budgets[0], "text": f"{projects[0]} {budgets[0]}"},
    )
