"""Find the note by its topic, copy it, take the author's line from it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import CODENAMES


def work(instruction: str, slip: Slip) -> Work:
    topic = re.findall(r"topic is (\w+)", instruction)[0]
    if slip("guess_note"):
        note = f"notes/{slip.choose(CODENAMES)}.txt"
    elif slip("loose_search"):
        note = (yield f"grep -l {topic} notes/* | head -1").split()[-1]
    else:
        note = (yield f"grep -l 'topic {topic}' notes/*").split()[-1]
    if slip("copy_all"):
        yield f"cp notes/* shortlist && grep author {note} > authors.txt"
    elif slip("no_author"):
        yield f"cp {note} shortlist"
    else:
        yield f"cp {note} shortlist && grep author {note} > authors.txt"


ENDINGS = (
    WrongEnding("a note that only mentions the topic", results=(0, 0, 0), slips=("loose_search",)),
    WrongEnding("every note copied", results=(1, 0, 1), slips=("copy_all",)),
    WrongEnding("no author written down", results=(1, 1, 0), slips=("no_author",)),
)
