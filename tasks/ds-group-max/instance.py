"""Orders in groups with several metrics, and a brief that says which metric and which figure are wanted."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, FAMILY_NAMES, FIRST_NAMES, PRODUCTS

GROUPS = {"city": CITIES, "product": PRODUCTS, "seller": FIRST_NAMES, "brand": FAMILY_NAMES}
METRICS = ("net", "gross", "margin", "cost", "weight")


def make(rng: random.Random) -> Made:
    group = rng.choice(sorted(GROUPS))
    members = rng.sample(GROUPS[group], 3)
    # "amount" is what one would assume; the brief never asks for it.
    metrics = ["amount", *rng.sample(METRICS, 2)]
    rng.shuffle(metrics)
    metric = rng.choice([m for m in metrics if m != "amount"])
    figure = rng.choice(("max", "min", "avg"))
    while True:
        # Three digits each: a worker whose tool compares the cells as text finds the same maximum.
        rows = [
            (m, {c: rng.randint(100, 999) for c in metrics})
            for m in members
            for _ in range(rng.randint(2, 4))
        ]
        totals = {c: {m: sum(cells[c] for n, cells in rows if n == m) for m in members} for c in metrics}
        cells = {c: [cell[c] for _, cell in rows] for c in metrics}
        tops = {max(t, key=lambda m: t[m]) for t in (totals[metric], totals["amount"])}
        figures = {f(cells[c]) for f in (max, min) for c in (metric, "amount")}
        if len(tops) == 2 and len(figures) == 4 and len(set(totals[metric].values())) == 3:
            break
    rng.shuffle(rows)
    wanted = {"max": max(cells[metric]), "min": min(cells[metric]), "avg": sum(cells[metric]) / len(rows)}
    lines = [",".join([group, *metrics])]
    lines += [",".join([member, *(str(cell[c]) for c in metrics)]) for member, cell in rows]
    brief = [f"metric {metric}", f"figure {figure}", f"reader {rng.choice(FIRST_NAMES)}"]
    rng.shuffle(brief)
    return Made(
        values={"group": group},
        files={"orders.csv": "\n".join(lines) + "\n", "brief.txt": "\n".join(brief) + "\n"},
        facts={
            "members": members,
            "top": max(totals[metric], key=lambda m: totals[metric][m]),
            "figure": wanted[figure],
        },
    )
