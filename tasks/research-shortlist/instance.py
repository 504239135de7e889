"""Notes that each have one topic, mention another in passing, and name an author."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FAMILY_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    names = sorted(rng.sample(CODENAMES, 5))
    topics = rng.sample(TOPICS, 5)
    authors = rng.sample(FAMILY_NAMES, 5)
    # A note that comes earlier mentions the topic in passing, so the first hit of a loose search is wrong.
    found = rng.randint(1, 4)
    mentioned = [rng.choice([t for t in topics if t not in (topics[found], topics[i])]) for i in range(5)]
    mentioned[rng.randrange(found)] = topics[found]
    notes = {}
    for i, name in enumerate(names):
        lines = [f"topic {topics[i]}", f"author {authors[i]}", f"see also {mentioned[i]}"]
        notes[f"notes/{name}.txt"] = "\n".join(lines) + "\n"
    return Made(
        values={"topic": topics[found]},
        files={**notes, "shortlist/readme.txt": "notes for the next meeting\n"},
        facts={
            "note": f"{names[found]}.txt",
            "text": notes[f"notes/{names[found]}.txt"],
            "others": [f"{name}.txt" for name in names if name != names[found]],
            "author": authors[found],
        },
    )
