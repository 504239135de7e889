"""Find the number, close it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding


def work(instruction: str, slip: Slip) -> Work:
    project = re.findall(r"project (\w+)", instruction)[0]
    topic = re.findall(r"called (\w+)", instruction)[0]
    if slip("guess_number"):
        number = slip.choose(range(2, 40))
    elif slip("first_row"):
        number = int((yield f"forge issues {project} | head -1").split()[0])
    else:
        number = int((yield f"forge issues {project} | grep {topic}").split()[0])
    if slip("comment_only"):
        yield f"forge comment {project} {number} fixed"
    else:
        yield f"forge close {project} {number}"


ENDINGS = (
    WrongEnding("another issue", results=(0, 0), slips=("first_row",)),
    WrongEnding("a comment instead", results=(0, 0), slips=("comment_only",)),
)
