"""Ask, write it down, announce it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    name = instruction.split()[0]
    project = re.findall(r"budget of (\w+),", instruction)[0]
    room = re.findall(r"room (\w+)", instruction)[0]
    if slip("guess_budget"):
        budget = str(slip.choose(range(20, 99)))
    else:
        answer = yield f"chat ask {name} budget of {project}"
        budget = re.findall(r"\d+", answer)[-1]
    yield f"echo {budget} > budget.txt"
    if not slip("no_announcement"):
        yield f"chat send {room} {'' if slip('number_only') else project + ' '}{budget}"


ENDINGS = (
    WrongEnding("nothing announced", results=(1, 0), slips=("no_announcement",)),
    WrongEnding("the number alone announced", results=(1, 0), slips=("number_only",)),
)
