"""Demonstrations: the packages' demonstrators at work in real sandboxes, clean or sloppy.

A sloppy demonstrator makes each mistake that its way offers with the same probability, chosen for each
package so that a wanted share of its episodes comes to the end without any. So the policy that has learnt
from them completes about that share, and no right decision is rare.
"""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tac_rl.agents.prompt import observation
from tac_rl.office.process import Office
from tac_rl.sandboxes.base import SandboxLimits, SandboxProvider
from tac_rl.tasks.company import Room, make_spec
from tac_rl.tasks.demonstrations import Slips, demonstrate
from tac_rl.tasks.packages import TaskPackage, split_seed

SPLIT = "warmstart"


@dataclass(frozen=True)
class Demonstration:
    """One episode as the agent would have lived it."""

    task: str
    seed: int
    instruction: str
    commands: tuple[str, ...]
    observations: tuple[str, ...]
    """What the model reads of each command."""
    decisions: int
    """How often a mistake could have been made on the way."""
    mistakes: tuple[str, ...]
    """Those that were made."""


class _CountedSlips(Slips):
    """Slips that count every question: one that is asked twice is two decisions."""

    questions = 0

    def __call__(self, name: str) -> bool:
        self.questions += 1
        return super().__call__(name)


async def play(package: TaskPackage, seed: int, room: Room, rate: float, rng: random.Random) -> Demonstration:
    """Play one episode; `rate` is the probability of each mistake."""
    instance = package.instantiate(seed)
    await room.lay_out(instance)
    slips = _CountedSlips(rng, rate=rate)
    done = await demonstrate(package, instance, room.sandbox, slips)
    return Demonstration(
        task=package.name,
        seed=seed,
        instruction=instance.instruction,
        commands=tuple(step.command for step in done),
        observations=tuple(observation(step.result) for step in done),
        decisions=slips.questions,
        mistakes=tuple(slips.made),
    )


async def play_clean(
    packages: Sequence[TaskPackage], episodes: int, players: "Players"
) -> list[Demonstration]:
    """`episodes` without mistakes of each package."""
    plans = [(package, split_seed(SPLIT, i), 0.0) for i in range(episodes) for package in packages]
    return await players.play(plans)


async def play_sloppy(
    packages: Sequence[TaskPackage],
    episodes: int,
    completion: Callable[[TaskPackage], float],
    clean: Sequence[Demonstration],
    players: "Players",
) -> list[Demonstration]:
    """`episodes` of each package, of which about `completion(package)` are without a mistake."""
    plans = [
        (package, split_seed(SPLIT, (1 << 20) + i), slip_rate(package.name, completion(package), clean))
        for i in range(episodes)
        for package in packages
    ]
    return await players.play(plans)


def slip_rate(task: str, completion: float, clean: Sequence[Demonstration]) -> float:
    """The probability of each mistake at which `completion` of the episodes have none.

    On the way without mistakes all decisions have been asked for, so (1 - rate)^decisions = completion.
    """
    decisions = [d.decisions for d in clean if d.task == task]
    mean = sum(decisions) / len(decisions)
    return 1.0 - completion ** (1.0 / mean) if mean else 0.0


class Players:
    """A few rooms to play in; commands of demonstrators are trusted."""

    def __init__(self, rooms: Sequence[Room], seed: int) -> None:
        self._rooms = rooms
        self._seed = seed

    async def play(self, plans: Sequence[tuple[TaskPackage, int, float]]) -> list[Demonstration]:
        """Play (package, seed, rate of mistakes); results in the order of `plans`."""
        played: list[Demonstration | None] = [None] * len(plans)
        waiting = iter(enumerate(plans))

        async def work(room: Room) -> None:
            for number, (package, seed, rate) in waiting:
                rng = random.Random(f"{self._seed} {package.name} {seed}")
                played[number] = await play(package, seed, room, rate, rng)

        async with asyncio.TaskGroup() as group:
            for room in self._rooms:
                group.create_task(work(room))
        return [demonstration for demonstration in played if demonstration is not None]


@asynccontextmanager
async def players(
    provider: SandboxProvider, limits: SandboxLimits, office: Office | None, count: int, seed: int
) -> AsyncIterator[Players]:
    """`count` rooms to play in, given up at the end; `office` where any package names services."""
    if office is not None:
        await office.start()
    async with AsyncExitStack() as stack:
        rooms = []
        for _ in range(count):
            sandbox = await provider.start(make_spec(f"warmstart-{secrets.token_hex(4)}", limits, office))
            stack.push_async_callback(sandbox.stop)
            rooms.append(Room(sandbox, office))
            stack.push_async_callback(rooms[-1].leave)
        yield Players(rooms, seed)


def save(demonstrations: Sequence[Demonstration], path: Path) -> None:
    """One JSON object a line; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(asdict(d)) + "\n" for d in demonstrations), encoding="utf-8")
    part.replace(path)


def load(path: Path) -> list[Demonstration]:
    """What `save` wrote."""
    lists = ("commands", "observations", "mistakes")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        found.append(Demonstration(**{**fields, **{name: tuple(fields[name]) for name in lists}}))
    return found
