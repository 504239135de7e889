"""Five labels in a shell module, two of them wrong, and a test that stops at the first wrong one."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import PRODUCTS

LABELS = ("title", "header", "button", "footer", "banner", "tooltip", "caption")

CHECK = """\
. ./labels.sh

check() {
  if [ "$2" != "$3" ]; then
    echo "FAIL $1 is $2 and should be $3"
    exit 1
  fi
}

"""


def make(rng: random.Random) -> Made:
    labels = rng.sample(LABELS, 5)
    words = rng.sample(PRODUCTS, 7)
    right = dict(zip(labels, words[:5], strict=True))
    first, second = sorted(rng.sample(range(5), 2))
    shown = {**right, labels[first]: words[5], labels[second]: words[6]}
    test = (
        CHECK + "".join(f'check {label} "${label}" {word}\n' for label, word in right.items()) + "echo PASS\n"
    )
    source = rng.sample(labels, 5)
    return Made(
        values={},
        files={"labels.sh": "".join(f"{label}={shown[label]}\n" for label in source), "test.sh": test},
        facts={"right": right, "first": labels[first], "second": labels[second], "test": test},
    )
