"""Look up the sprint's owner, move the owner's items, count what is done."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import FIRST_NAMES

COUNT = "grep -c done board.csv > done.txt"


def work(instruction: str, slip: Slip) -> Work:
    sprint = re.findall(r"Sprint (\w+)", instruction)[0]
    if slip("guess_owner"):
        owner = slip.choose(FIRST_NAMES)
    elif slip("first_row"):
        owner = (yield "head -1 sprints.txt").split()[-1]
    else:
        owner = (yield f"grep {sprint} sprints.txt").split()[-1]
    count_first = slip("count_first")
    if count_first:
        yield COUNT
    if slip("move_all"):
        yield "sed -i 's/doing/done/' board.csv"
    else:
        yield f"sed -i '/{owner}/ s/doing/done/' board.csv"
    if not count_first and not slip("no_count"):
        yield COUNT


ENDINGS = (
    WrongEnding("the items of another owner", results=(0, 0, 0), slips=("first_row",)),
    WrongEnding("everybody's items moved", results=(1, 0, 0), slips=("move_all",)),
    WrongEnding("counted before the move", results=(1, 1, 0), slips=("count_first",)),
    WrongEnding("never counted", results=(1, 1, 0), slips=("no_count",)),
)
