"""Merge the branch, look up the release name, tag."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding
from tac_rl.tasks.words import CODENAMES

LOOK = "grep release VERSION"


def work(instruction: str, slip: Slip) -> Work:
    branch = re.findall(r"Branch (\w+)", instruction)[0]
    if slip("look_first"):
        release = (yield f"cd app && {LOOK}").split()[-1]
        yield f"git merge -q {branch}"
    elif slip("guess_release"):
        release = slip.choose(CODENAMES)
        yield f"cd app && git merge -q {branch}"
    elif slip("forget_merge"):
        release = (yield f"cd app && {LOOK}").split()[-1]
    else:
        yield f"cd app && git merge -q {branch}"
        release = (yield LOOK).split()[-1]
    if not slip("forget_tag"):
        yield f"git tag {release}"


ENDINGS = (
    WrongEnding("the release name of before the merge", results=(1, 0, 0), slips=("look_first",)),
    WrongEnding("the old main tagged, nothing merged", results=(0, 0, 0), slips=("forget_merge",)),
    WrongEnding("merged and never tagged", results=(1, 0, 0), slips=("forget_tag",)),
)
