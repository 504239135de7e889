"""What a package of difficulty 1 to 3 must keep to, so that a policy of a few million parameters can learn it.

A model that small copies names and follows short sequences; it doesn't count, calculate or read tables.
"""

from collections.abc import Sequence

from tac_rl.tasks.base import TaskInstance
from tac_rl.tasks.demonstrations import Demonstrated

HARDEST = 3
"""The rules hold up to this difficulty."""

COMMANDS = {1: (1, 2), 2: (3, 3), 3: (4, 6)}
"""How few and how many commands the oracle needs, by difficulty."""

INSTRUCTION_WORDS = 60
COMMAND_WORDS = 25
OUTPUT_LINES = 6
OUTPUT_COLUMNS = 100


def complaints(difficulty: int, instance: TaskInstance, steps: Sequence[Demonstrated]) -> list[str]:
    """What the tiny policy could not manage in the oracle's way of doing `instance`."""
    if difficulty > HARDEST:
        return []
    found = []
    words = len(instance.instruction.split())
    if words > INSTRUCTION_WORDS:
        found.append(
            f"the instruction has {words} words; at difficulty {difficulty} at most {INSTRUCTION_WORDS}"
        )
    fewest, most = COMMANDS[difficulty]
    if not fewest <= len(steps) <= most:
        found.append(
            f"the oracle needs {len(steps)} commands; difficulty {difficulty} means {fewest} to {most}"
        )
    for step in steps:
        found += _complaints_about_step(step)
    return found


def _complaints_about_step(step: Demonstrated) -> list[str]:
    found = []
    if len(step.command.split()) > COMMAND_WORDS:
        found.append(f"the oracle's command {step.command!r} has more than {COMMAND_WORDS} words")
    if '"' in step.command and "'" not in step.command:
        found.append(f"the oracle's command {step.command!r} uses double quotes where single quotes do")
    lines = step.result.output.splitlines()
    if len(lines) > OUTPUT_LINES or any(len(line) > OUTPUT_COLUMNS for line in lines):
        found.append(
            f"the oracle's command {step.command!r} prints {len(lines)} lines, the longest of "
            f"{max(map(len, lines))} characters; at most {OUTPUT_LINES} of {OUTPUT_COLUMNS} are readable"
        )
    return found
