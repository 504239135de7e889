"""A board of three people's items, and a list of sprints with their owners."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    sprints = rng.sample(CODENAMES, 3)
    owners = rng.sample(FIRST_NAMES, 3)
    row = rng.randint(1, 2)
    # Each owner has another number of items in progress, so the count tells whose items were moved.
    doing = rng.sample((1, 2, 3, 4), 3)
    items = [(owner, "doing") for owner, number in zip(owners, doing, strict=True) for _ in range(number)]
    items += [
        (owner, state) for owner in owners for state in ("done", "todo") for _ in range(rng.randint(1, 2))
    ]
    rng.shuffle(items)
    names = rng.sample(TOPICS, len(items))
    before = [f"{name},{owner},{state}" for name, (owner, state) in zip(names, items, strict=True)]
    mine = [line for line in before if f",{owners[row]},doing" in line]
    after = [line.replace(",doing", ",done") if line in mine else line for line in before]
    return Made(
        values={"sprint": sprints[row]},
        files={
            "board.csv": "\n".join(["item,owner,state", *before]) + "\n",
            "sprints.txt": "".join(f"{s} owner {o}\n" for s, o in zip(sprints, owners, strict=True)),
        },
        facts={
            "moved": [line.replace(",doing", ",done") for line in mine],
            "board": ["item,owner,state", *after],
            "done": sum(line.endswith(",done") for line in after),
        },
    )
