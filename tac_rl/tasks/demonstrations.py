"""Drive a package's demonstrator: as the oracle, with chosen mistakes, or sloppily at random."""

import random
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tac_rl.errors import TaskError
from tac_rl.sandboxes.base import ExecResult, Sandbox
from tac_rl.tasks.authoring import Slip, Work
from tac_rl.tasks.base import TaskInstance
from tac_rl.tasks.packages import TaskPackage

T = TypeVar("T")

MOST_COMMANDS = 100
"""A demonstrator that yields more than this never ends."""


class Slips:
    """A `Slip`: makes the `always` mistakes, and each other one with probability `rate`.

    `Slips()` makes none: with it a demonstrator is the oracle.
    """

    def __init__(
        self, rng: random.Random | None = None, *, rate: float = 0.0, always: Collection[str] = ()
    ) -> None:
        self.rng = rng or random.Random(0)
        self.asked: list[str] = []
        """The names of the mistakes that could have been made so far, in order, each once."""
        self.made: list[str] = []
        """The names of those that were made."""
        self._rate = rate
        self._always = frozenset(always)

    def __call__(self, name: str) -> bool:
        if name not in self.asked:
            self.asked.append(name)
        slips = name in self._always or (self._rate > 0 and self.rng.random() < self._rate)
        if slips and name not in self.made:
            self.made.append(name)
        return slips

    def choose(self, options: Sequence[T]) -> T:
        if not options:
            raise ValueError("Slip.choose needs at least one option")
        return self.rng.choice(options)


@dataclass(frozen=True)
class Demonstrated:
    """One command of a demonstration and what it did."""

    command: str
    result: ExecResult


def oracle_of(package: TaskPackage) -> Callable[[str], Generator[str, str, None]]:
    """The package's demonstrator without mistakes: given the instruction, yields commands."""
    return lambda instruction: package.demonstrate(instruction, Slips())


async def demonstrate(
    package: TaskPackage, instance: TaskInstance, sandbox: Sandbox, slip: Slip
) -> tuple[Demonstrated, ...]:
    """Let the demonstrator work in a sandbox where the instance is laid out.

    It sees the instruction and the output of its own commands. `TaskError` where it raises, yields
    something else than a command, or never ends.
    """
    where = f"task {package.name}, seed {instance.seed}: demonstrator.py"
    work = package.demonstrate(instance.instruction, slip)
    done: list[Demonstrated] = []
    try:
        command = _advance(work, None, where)
        while command is not None:
            if len(done) == MOST_COMMANDS:
                raise TaskError(f"{where}: does not end; it yielded more than {MOST_COMMANDS} commands")
            result = await sandbox.exec(command)
            done.append(Demonstrated(command, result))
            command = _advance(work, result.output, where)
    finally:
        work.close()
    return tuple(done)


def _advance(work: Work, output: str | None, where: str) -> str | None:
    """The next command, or None at the end."""
    try:
        command = next(work) if output is None else work.send(output)
    except StopIteration:
        return None
    except Exception as error:
        raise TaskError(f"{where}: raised {type(error).__name__}: {error}") from error
    if not isinstance(command, str) or not command.strip():
        raise TaskError(f"{where}: must yield shell commands, not {command!r}")
    return command
