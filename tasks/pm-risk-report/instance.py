"""Clients with projects, projects with owners and risks, each in a list of its own."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FAMILY_NAMES, FIRST_NAMES

RISKS = ("delay", "cost", "staff", "quality", "supply", "scope", "weather", "legal")


def make(rng: random.Random) -> Made:
    clients = rng.sample(FAMILY_NAMES, 4)
    projects = rng.sample(CODENAMES, 4)
    owners = rng.sample(FIRST_NAMES, 4)
    risks = rng.sample(RISKS, 4)
    client = rng.randrange(4)
    # The lists are ordered by chance, but ours is never the first project: taking the first row must fail.
    order = rng.sample(range(4), 4)
    while order[0] == client:
        rng.shuffle(order)
    return Made(
        values={"client": clients[client]},
        files={
            "projects.txt": "".join(f"{c} project {p}\n" for c, p in zip(clients, projects, strict=True)),
            "owners.txt": "".join(f"{projects[i]} owner {owners[i]}\n" for i in order),
            "risks.txt": "".join(f"{projects[i]} risk {risks[i]}\n" for i in order),
        },
        facts={"project": projects[client], "owner": owners[client], "risk": risks[client]},
    )
