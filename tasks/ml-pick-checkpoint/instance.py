"""Training runs with a configuration each, score lists by metric, and the metric that each team wants."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, DEPARTMENTS, SYSTEMS

METRICS = ("recall", "speed", "fluency", "coverage")
STATES = ("draft", "trained", "queued", "paused")


def make(rng: random.Random) -> Made:
    teams = rng.sample(DEPARTMENTS, 4)
    wanted = rng.sample(METRICS, 4)
    best, *others = rng.sample(CODENAMES, 4)
    runs = sorted([best, *others])
    files = {"criteria.txt": "".join(f"{team} metric {m}\n" for team, m in zip(teams, wanted, strict=True))}
    # "accuracy" is what one would assume; no team wants it. Any list but the right one has another run on top.
    row = rng.randrange(4)
    for metric in ("accuracy", *METRICS):
        top = best if metric == wanted[row] else rng.choice(others)
        scores = dict(zip(runs, rng.sample(range(500, 900), 4), strict=True)) | {top: rng.randint(901, 989)}
        files[f"scores/{metric}.txt"] = "".join(f"0.{score} {run}\n" for run, score in scores.items())
    for run in runs:
        files[f"configs/{run}.yaml"] = (
            f"run: {run}\ndata: {rng.choice(SYSTEMS)}\nstatus: {rng.choice(STATES)}\n"
        )
    run_line, data_line, _ = files[f"configs/{best}.yaml"].splitlines()
    return Made(
        values={"team": teams[row]},
        files=files,
        facts={"runs": runs, "best": best, "chosen": [run_line, data_line, "status: chosen"]},
    )
