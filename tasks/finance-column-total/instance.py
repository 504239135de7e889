"""A pay list with several money columns, of which the settings file names the one that counts."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import DEPARTMENTS, FIRST_NAMES, TOPICS

COLUMNS = ("net", "gross", "bonus", "paid")


def make(rng: random.Random) -> Made:
    table = rng.choice(TOPICS)
    department = rng.choice(DEPARTMENTS)
    people = rng.sample(FIRST_NAMES, rng.randint(4, 9))
    # Disjoint ranges keep the totals apart, so that a total always tells which column was summed.
    base = dict(zip(rng.sample(COLUMNS, len(COLUMNS)), (100, 300, 500, 700), strict=True))
    rows = [{column: base[column] + rng.randint(0, 99) for column in COLUMNS} for _ in people]
    column = rng.choice(COLUMNS)
    lines = ["name," + ",".join(COLUMNS)]
    lines += [
        f"{name}," + ",".join(str(row[c]) for c in COLUMNS) for name, row in zip(people, rows, strict=True)
    ]
    settings = [f"owner {rng.choice(FIRST_NAMES)}", f"column {column}", f"office {department}"]
    rng.shuffle(settings)
    return Made(
        values={"table": table, "department": department},
        files={
            f"{table}.csv": "\n".join(lines) + "\n",
            "settings.txt": "\n".join(settings) + "\n",
            "status.txt": f"{rng.choice(FIRST_NAMES)} started\n",
        },
        facts={
            "column": column,
            "sums": {c: sum(row[c] for row in rows) for c in COLUMNS},
            "note": f"{table} done",
        },
    )
