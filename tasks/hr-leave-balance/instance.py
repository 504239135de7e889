"""Leave sheets of three people with several columns of days, and a policy that names column and report."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, DEPARTMENTS, FIRST_NAMES, SYSTEMS

COLUMNS = ("asked", "granted", "taken", "booked")
MONTHS = ("january", "march", "april", "june", "july", "august", "october", "november")


def make(rng: random.Random) -> Made:
    people = rng.sample(FIRST_NAMES, 3)
    person = people[0]
    # "days" is what one would assume; the policy never names it, so only who looks can be right.
    columns = ["days", *rng.sample(COLUMNS, 3)]
    rng.shuffle(columns)
    column = rng.choice([c for c in columns if c != "days"])
    report = f"{rng.choice(SYSTEMS)}.txt"
    sheets, sums = {}, {}
    for name in people:
        months = rng.sample(MONTHS, rng.randint(3, 6))
        while True:
            rows = [[rng.randint(1, 9) for _ in columns] for _ in months]
            sums = {c: sum(row[i] for row in rows) for i, c in enumerate(columns)} if name == person else sums
            if len(set(sums.values())) == len(columns):
                break
        lines = ["month," + ",".join(columns)]
        lines += [f"{month}," + ",".join(map(str, row)) for month, row in zip(months, rows, strict=True)]
        sheets[f"{name}.csv"] = "\n".join(lines) + "\n"
    policy = [
        f"column {column}",
        f"report {report}",
        f"contact {rng.choice(DEPARTMENTS)}",
        f"site {rng.choice(CITIES)}",
    ]
    rng.shuffle(policy)
    return Made(
        values={"person": person},
        files={**sheets, "policy.txt": "\n".join(policy) + "\n"},
        facts={"report": report, "sum": sums[column], "sums": sums},
    )
