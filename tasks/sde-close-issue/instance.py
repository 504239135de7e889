"""A project with five open issues under scattered numbers."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, TOPICS


def make(rng: random.Random) -> Made:
    project = rng.choice(CODENAMES)
    topics = rng.sample(TOPICS, 5)
    numbers = sorted(rng.sample(range(2, 40), 5))
    row = rng.randint(1, 4)  # The list begins with the lowest number: that would be a lucky first line.
    return Made(
        values={"project": project, "topic": topics[row]},
        office={
            "forge": {
                "projects": [
                    {
                        "path": f"root/{project}",
                        "issues": [{"title": t, "iid": n} for t, n in zip(topics, numbers, strict=True)],
                    }
                ]
            }
        },
        facts={"project": project, "number": numbers[row], "others": [n for n in numbers if n != numbers[row]]},
    )
