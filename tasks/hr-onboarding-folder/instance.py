"""A newcomer, a plan template with a blank, and a list that names each department's buddy."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import DEPARTMENTS, FIRST_NAMES, SYSTEMS, TOPICS


def make(rng: random.Random) -> Made:
    departments = rng.sample(DEPARTMENTS, 5)
    person, *buddies = rng.sample(FIRST_NAMES, 6)
    # Never the first row, so that whoever takes the first name that the list shows is wrong.
    row = rng.randint(1, 4)
    template = [
        f"read the {rng.choice(TOPICS)} guide",
        "your buddy is BUDDY",
        f"ask for {rng.choice(SYSTEMS)} access",
    ]
    rng.shuffle(template)
    return Made(
        values={"person": person, "department": departments[row]},
        files={
            "template.md": "\n".join(template) + "\n",
            "buddies.txt": "".join(f"{d} buddy {b}\n" for d, b in zip(departments, buddies, strict=True)),
        },
        facts={
            "plan": f"people/{person}/plan.md",
            "template": template,
            "filled": f"your buddy is {buddies[row]}",
        },
    )
