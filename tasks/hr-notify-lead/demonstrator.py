"""Look up the lead, write to them."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import FIRST_NAMES


def work(instruction: str, slip: Slip) -> Work:
    project = re.findall(r"lead of (\w+)", instruction)[0]
    topic = re.findall(r"says (\w+) ready", instruction)[0]
    if slip("guess_lead"):
        lead = slip.choose(FIRST_NAMES)
    elif slip("first_row"):
        lead = (yield "head -1 leads.txt").split()[-1]
    else:
        lead = (yield f"grep {project} leads.txt").split()[-1]
    text = topic if slip("half_a_message") else f"{topic} ready"
    yield f"chat dm {lead} {text}"


ENDINGS = (
    WrongEnding("the lead of another project", results=(1, 0), slips=("first_row",)),
    WrongEnding("half of the message", results=(0, 0), slips=("half_a_message",)),
)
