"""The reward of a grade: TAC's score, half partial credit and half full completion."""

from tac_rl.tasks.base import Grade


def checkpoint_reward(grade: Grade) -> float:
    """In [0, 1]. The same number as the benchmark's score, so that training optimises what is reported."""
    return grade.score
