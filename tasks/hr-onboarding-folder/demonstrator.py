"""Look up the department's buddy, then fill the template into the newcomer's folder."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import FIRST_NAMES


def work(instruction: str, slip: Slip) -> Work:
    person, department = re.findall(r"(\w+) joins the (\w+) team", instruction)[0]
    if slip("guess_buddy"):
        buddy = slip.choose(FIRST_NAMES)
    elif slip("first_row"):
        buddy = (yield "head -1 buddies.txt").split()[-1]
    else:
        buddy = (yield f"grep {department} buddies.txt").split()[-1]
    if slip("leave_blank"):
        yield f"mkdir -p people/{person} && cp template.md people/{person}/plan.md"
    else:
        yield f"mkdir -p people/{person} && sed 's/BUDDY/{buddy}/' template.md > people/{person}/plan.md"


ENDINGS = (
    WrongEnding("the first buddy on the list", results=(1, 0), slips=("first_row",)),
    WrongEnding("the blank left open", results=(1, 0), slips=("leave_blank",)),
    WrongEnding(
        "the template filled in place", results=(0, 0), commands=("sed -i s/BUDDY/buddy/ template.md",)
    ),
)
