"""A repository with main and two branches; each branch brings a release name of its own."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CODENAMES, FIRST_NAMES, TOPICS


def make(rng: random.Random) -> Made:
    branches = rng.sample(TOPICS, 2)
    old, *releases = rng.sample(CODENAMES, 3)
    setup = [
        "git init -q -b main app",
        "git -C app config user.name worker",
        "git -C app config user.email worker@office",
        "git -C app add . && git -C app commit -qm start",
    ]
    for branch, release in zip(branches, releases, strict=True):
        setup += [
            f"git -C app checkout -q -b {branch} main",
            f"sed -i s/{old}/{release}/ app/VERSION && echo {branch} >> app/notes.txt",
            f"git -C app commit -qam {branch}",
        ]
    setup.append("git -C app checkout -q main")
    reviewed = rng.randrange(2)
    return Made(
        values={"branch": branches[reviewed]},
        files={
            "app/VERSION": f"release {old}\nowner {rng.choice(FIRST_NAMES)}\n",
            "app/notes.txt": "changes by branch\n",
        },
        setup=tuple(setup),
        facts={"branch": branches[reviewed], "release": releases[reviewed]},
    )
