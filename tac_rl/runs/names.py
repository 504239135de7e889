"""Readable names of runs, such as `tiny-cpu-1121-amber-otter`."""

import random
import re
import time
from pathlib import Path

from tac_rl.errors import RunError

_COLOURS = (
    "amber azure bronze cedar cobalt coral ebony fern golden hazel indigo ivory jade lilac "
    "maroon mint olive pearl plum ruby saffron silver teal violet"
)
_ANIMALS = (
    "badger bison crane dingo egret falcon ferret finch gecko heron ibis jackal koala lemur "
    "lynx marten newt ocelot osprey otter owl panda raven robin seal swift tapir wren"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str) -> str:
    """`name`, or `RunError` where it can't be the name of a folder in the runs directory."""
    if not _NAME.fullmatch(name):
        raise RunError(
            f"run name {name!r}: use 1 to 80 letters, digits, '.', '_' and '-', "
            "beginning with a letter or a digit"
        )
    return name


def unused_name(runs_dir: Path, stem: str) -> str:
    """A name that no run in `runs_dir` has: stem, month and day, a colour, an animal."""
    clean = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower()[:40] or "run"
    # Not the run's seeded random stream: two runs of one config must get two names.
    words = random.SystemRandom()
    while True:
        colour, animal = words.choice(_COLOURS.split()), words.choice(_ANIMALS.split())
        name = f"{clean}-{time.strftime('%m%d')}-{colour}-{animal}"
        if not (runs_dir / name).exists():
            return name
