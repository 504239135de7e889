"""Four projects and their leads, who all have an account in the chat."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    projects, leads = rng.sample(CODENAMES, 4), rng.sample(FIRST_NAMES, 4)
    row = rng.randint(1, 3)
    topic = rng.choice(TOPICS)
    return Made(
        values={"project": projects[row], "topic": topic},
        files={"leads.txt": "".join(f"{p} lead {n}\n" for p, n in zip(projects, leads, strict=True))},
        office={"people": [{"username": name, "name": name.capitalize()} for name in leads]},
        facts={"lead": leads[row], "leads": leads, "text": f"{topic} ready"},
    )
