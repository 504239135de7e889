"""Finds what dead processes left behind: runtime folders, and sandboxes that outlived their owner.

A sandbox dies with its owner in three ways (bubblewrap's own watch on its parent, the server's on its
connection, the kernel's on PID 1), so there are seldom processes to find; folders there are after every
crash. The owner is named by pid and start time, so a reused pid is never mistaken for it.
"""

from dataclasses import dataclass
from pathlib import Path

from tac_rl.sandboxes import runtime


@dataclass(frozen=True)
class Leftover:
    """The runtime folder of a process that is gone, and its sandboxes' processes that are not."""

    folder: Path
    processes: tuple[str, ...]


def find_leftovers(base: Path) -> list[Leftover]:
    """List, without touching anything."""
    leftovers = []
    for folder in sorted(base.iterdir()) if base.is_dir() else ():
        if not runtime.is_identity(folder.name) or runtime.is_alive(folder.name):
            continue
        alive: list[str] = []
        for record in sorted(folder.glob("*/*/processes")):
            alive += [name for name in record.read_text().split() if runtime.is_alive(name)]
        leftovers.append(Leftover(folder, tuple(alive)))
    return leftovers


def sweep(base: Path) -> list[Leftover]:
    """Find leftovers, end their processes and remove their folders; what was found is returned."""
    leftovers = find_leftovers(base)
    for leftover in leftovers:
        remove_leftover(leftover)
    return leftovers


def remove_leftover(leftover: Leftover) -> None:
    """End its processes and remove its folder."""
    for name in leftover.processes:
        runtime.kill(name)
    runtime.remove(leftover.folder)
