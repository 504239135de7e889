"""Cores of the processor that only the learner computes on, so that a step beside rollouts takes as long as alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError


def cores_for_learner(config: RunConfig, gpus: int) -> frozenset[int]:
    """The numbers of the learner's own cores, as `learner.own_cores` says; none: it shares all with the others.

    `gpus`: that this machine has. Raises `ConfigError` where more cores are asked for than can be given.
    """
    usable = _usable()
    wanted = config.learner.own_cores
    if wanted is None:
        on_cpu = config.learner.device == "cpu" or (config.learner.device == "auto" and not gpus)
        beside_rollouts = config.rollouts.max_staleness > 0 and config.learner.kind == "own"
        wanted = config.learner.threads if on_cpu and beside_rollouts else 0
        if wanted >= len(usable):
            return frozenset()
    elif wanted and wanted >= len(usable):
        there = f"{len(usable)} cores can be used here" if usable else "this system can't bind processes to cores"
        raise ConfigError(
            f"learner.own_cores: {wanted}, but {there}, and the rest of the run needs one; set it to 0"
        )
    return frozenset(usable[len(usable) - wanted :])


@contextmanager
def kept_off(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and all processes that it starts meanwhile, compute on the other cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
