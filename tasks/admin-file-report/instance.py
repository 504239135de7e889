"""Four files, each about one city; a department's folder on the drive."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, DEPARTMENTS, FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    topics, cities = rng.sample(TOPICS, 4), rng.sample(CITIES, 4)
    department, name = rng.choice(DEPARTMENTS), rng.choice(FIRST_NAMES)
    texts = {t: f"city {c}\nrooms {rng.randint(2, 60)}\n" for t, c in zip(topics, cities, strict=True)}
    row = rng.randrange(4)
    return Made(
        values={"city": cities[row], "department": department, "name": name},
        files={f"{topic}.txt": text for topic, text in texts.items()},
        office={
            "people": [{"username": name, "name": name.capitalize()}],
            "drive": {"folders": [department]},
        },
        facts={
            "folder": department,
            "file": f"{topics[row]}.txt",
            "text": texts[topics[row]],
            "name": name,
            "message": f"{cities[row]} filed",
        },
    )
