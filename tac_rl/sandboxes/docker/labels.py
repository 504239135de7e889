"""The labels that everything of ours carries in Docker, and who owns what.

An owner is a process, named by pid and start time. That name means something on one boot of one machine and
in one pid namespace only (a trainer in a container of its own has another), so the place is a label too: who
can't see the owner never takes it for dead.
"""

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tac_rl.sandboxes import runtime

KIND = "org.tac-rl.kind"
"""`base`, `sandbox` and `task` for images, `sandbox` for containers."""
OWNER = "org.tac-rl.owner"
PLACE = "org.tac-rl.place"
RUN = "org.tac-rl.run"
ROLLOUT = "org.tac-rl.rollout"
ATTEMPT = "org.tac-rl.attempt"
CONTENT = "org.tac-rl.content"
"""Of an image: the hash of everything that it was built from."""

_RETRY = re.compile(r"(.*)-try([0-9]+)")  # As rollouts/group.py names what it tries again.


def owner_labels(run: str) -> dict[str, str]:
    """What says that this process made something."""
    return {KIND: "sandbox", OWNER: runtime.identity(os.getpid()), PLACE: place(), RUN: run}


def rollout_labels(name: str) -> dict[str, str]:
    """What says for which attempt a sandbox was started; `name` is the spec's."""
    retry = _RETRY.fullmatch(name)
    return {ROLLOUT: retry[1], ATTEMPT: retry[2]} if retry else {ROLLOUT: name, ATTEMPT: "1"}


def is_orphan(labels: Mapping[str, str], *, running: bool) -> bool:
    """Whether nobody owns a container with these labels any more."""
    owner, where = labels.get(OWNER, ""), labels.get(PLACE, "")
    if where == place():
        return not runtime.is_alive(owner)
    # Another boot or another pid namespace: its owner can't be seen from here, but what runs has an owner,
    # because the connection to it keeps it running.
    return not running


@functools.cache
def place() -> str:
    """This boot of this machine, and this process's pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116
