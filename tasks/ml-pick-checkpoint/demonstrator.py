"""Look up the team's metric, sort that score list, copy the winner's configuration, mark it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    team = re.findall(r"The (\w+) team", instruction)[0]
    if slip("assume_metric"):
        metric = "accuracy"
    else:
        metric = (yield f"grep {team} criteria.txt").split()[-1]
    sort = "sort -n" if slip("lowest") else "sort -rn"
    run = (yield f"{sort} scores/{metric}.txt | head -1").split()[-1]
    yield f"cp configs/{run}.yaml best.yaml"
    if slip("forget_status"):
        return
    target = f"configs/{run}.yaml" if slip("mark_original") else "best.yaml"
    yield f"sed -i 's/status: .*/status: chosen/' {target}"


ENDINGS = (
    WrongEnding("the metric that one would assume", results=(1, 0, 0), slips=("assume_metric",)),
    WrongEnding("the lowest score", results=(1, 0, 0), slips=("lowest",)),
    WrongEnding("the status left as it was", results=(1, 2, 0), slips=("forget_status",)),
    WrongEnding("the original marked, not the copy", results=(1, 2, 0), slips=("mark_original",)),
)
