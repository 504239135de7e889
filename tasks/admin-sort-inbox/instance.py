"""An inbox with letters of three kinds; the rules send each kind to a folder of its own."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FAMILY_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    kinds = rng.sample(TOPICS, 3)
    folders = rng.sample(CODENAMES, 4)
    letters = {}
    for kind in kinds:
        for sender in rng.sample(FAMILY_NAMES, rng.randint(2, 4)):
            letters[f"{kind}-{sender}.txt"] = f"{kind} from {sender}\n"
    rules = [f"{kind} goes to {folder}" for kind, folder in zip(kinds, folders, strict=False)]
    rng.shuffle(rules)
    kind, folder = kinds[0], folders[0]
    files = {f"inbox/{name}": text for name, text in letters.items()}
    return Made(
        values={"kind": kind},
        files={**files, "rules.txt": "\n".join(rules) + "\n"},
        setup=(f"mkdir {' '.join(sorted(folders))}",),
        facts={
            "folder": folder,
            "folders": sorted(folders),
            "mine": {name: text for name, text in letters.items() if name.startswith(f"{kind}-")},
            "others": sorted(name for name in letters if not name.startswith(f"{kind}-")),
        },
    )
