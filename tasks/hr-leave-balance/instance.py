"""Leave sheets of three people with several columns of days, and a policy that names column and report."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, DEPARTMENTS, FIRST_NAMES, SYSTEMS

COLUMNS = ("asked", "granted", "taken", "booked")
MONTHS = ("january", "march", "april", "june", "july", "august", "october", "november")


def sheet(rng: random.Random, columns: list[str]) -> tuple[str, dict[str, int]]:
    """One person's leave, a month a line, and the sum of each column."""
    months = rng.sample(MONTHS, rng.randint(3, 6))
    rows = [{column: rng.randint(1, 9) for column in columns} for _ in months]
    lines = [",".join(["month", *columns])]
    lines += [",".join([month, *map(str, row.values())]) for month, row in zip(months, rows, strict=True)]
    return "\n".join(lines) + "\n", {column: sum(row[column] for row in rows) for column in columns}


def make(rng: random.Random) -> Made:
    people = rng.sample(FIRST_NAMES, 3)
    person = people[0]
    # "days" is what one would assume; the policy never names it, so only who looks can be right.
    columns = ["days", *rng.sample(COLUMNS, 3)]
    rng.shuffle(columns)
    column = rng.choice([c for c in columns if c != "days"])
    report = f"{rng.choice(SYSTEMS)}.txt"
    sheets = {name: sheet(rng, columns) for name in people}
    sums = sheets[person][1]
    while len(set(sums.values())) < len(columns):  # else a sum would not tell which column was added up
        sheets[person] = sheet(rng, columns)
        sums = sheets[person][1]
    policy = [
        f"column {column}",
        f"report {report}",
        f"contact {rng.choice(DEPARTMENTS)}",
        f"site {rng.choice(CITIES)}",
    ]
    rng.shuffle(policy)
    return Made(
        values={"person": person},
        files={f"{name}.csv": text for name, (text, _) in sheets.items()}
        | {"policy.txt": "\n".join(policy) + "\n"},
        facts={"report": report, "sum": sums[column], "sums": sums},
    )
