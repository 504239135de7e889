"""Cores of the processor that only the learner computes on, so that a step beside rollouts takes as long as alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tac_rl.errors import ConfigError


def cores_for_learner(count: int) -> frozenset[int]:
    """The numbers of `count` cores (`learner.own_cores`); `ConfigError` where so many can't be set aside."""
    if not count:
        return frozenset()
    if not hasattr(os, "sched_getaffinity"):
        raise ConfigError("learner.own_cores: this system can't bind processes to cores; set it to 0")
    usable = sorted(os.sched_getaffinity(0))
    if count >= len(usable):
        raise ConfigError(
            f"learner.own_cores: {count}, but {len(usable)} cores can be used here, and the rest of the run needs "
            f"one; set it to at most {len(usable) - 1}"
        )
    return frozenset(usable[-count:])


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
