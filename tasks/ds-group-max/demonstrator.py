"""Read the metric, rank the groups by it; read the figure, compute it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

OPEN = "sqlite3 :memory: -cmd '.import --csv orders.csv orders'"


def work(instruction: str, slip: Slip) -> Work:
    group = re.findall(r"the (\w+)\s+with", instruction)[0]
    if slip("assume_metric"):
        metric = "amount"
    else:
        metric = (yield "grep metric brief.txt").split()[-1]
    order = "" if slip("lowest") else " desc"
    yield f"{OPEN} 'select {group} from orders group by {group} order by sum({metric}){order} limit 1' > top.txt"
    if slip("stop_early"):
        return
    if slip("assume_figure"):
        figure = "sum"
    else:
        figure = (yield "grep figure brief.txt").split()[-1]
    yield f"{OPEN} 'select {figure}({metric}) from orders' > figure.txt"


ENDINGS = (
    WrongEnding("the metric that one would assume", results=(1, 0, 0), slips=("assume_metric",)),
    WrongEnding("the lowest group", results=(1, 0, 2), slips=("lowest",)),
    WrongEnding("no figure", results=(1, 2, 0), slips=("stop_early",)),
    WrongEnding("the figure that one would assume", results=(1, 2, 0), slips=("assume_figure",)),
)
