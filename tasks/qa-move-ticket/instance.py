"""A tracker project with five tickets to do under scattered numbers."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    project, name = rng.choice(CODENAMES), rng.choice(FIRST_NAMES)
    topics = rng.sample(TOPICS, 5)
    numbers = sorted(rng.sample(range(2, 40), 5))
    row = rng.randint(1, 3)
    tickets = [{"title": t, "number": n, "state": "Todo"} for t, n in zip(topics, numbers, strict=True)]
    return Made(
        values={"project": project, "topic": topics[row], "name": name},
        office={
            "tracker": {
                "projects": [{"name": project, "identifier": project.upper(), "members": [], "issues": tickets}]
            }
        },
        facts={
            "key": f"{project.upper()}-{numbers[row]}",
            "others": [f"{project.upper()}-{n}" for n in numbers if n != numbers[row]],
            "comment": f"tested by {name}",
        },
    )
