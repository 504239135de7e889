"""A repository with a config, one setting of which is wrong, and a check that says which."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import CITIES, CODENAMES, FIRST_NAMES, SYSTEMS

KEYS = {"region": CITIES, "theme": CODENAMES, "owner": FIRST_NAMES, "upstream": SYSTEMS}

CHECK = """\
ok=yes
want() {
  grep -qx "$1 = $2" config.ini || { echo "$1 should be $2"; ok=no; }
}
"""


def make(rng: random.Random) -> Made:
    keys = rng.sample(sorted(KEYS), 4)
    wrong = rng.choice(keys)
    right = {key: rng.choice(KEYS[key]) for key in keys}
    shown = {**right, wrong: rng.choice([value for value in KEYS[wrong] if value != right[wrong]])}
    wants = "".join(f"want {key} {value}\n" for key, value in sorted(right.items()))
    check = f"{CHECK}{wants}[ $ok = yes ] && echo all good\n"
    system = rng.choice([name for name in SYSTEMS if name not in right.values()])
    return Made(
        values={"system": system},
        files={
            "config.ini": "".join(f"{key} = {value}\n" for key, value in shown.items()),
            "check.sh": check,
        },
        setup=(
            "git init -q -b main . && git config user.name worker && git config user.email worker@office",
            "git add . && git commit -qm start",
        ),
        facts={
            "key": wrong,
            "value": right[wrong],
            "config": "".join(f"{key} = {value}\n" for key, value in right.items()),
            "check": check,
            "message": f"fix {system}",
        },
    )
