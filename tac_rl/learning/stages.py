"""The stages of a run, laid over its iterations. Which one it is in follows from the iteration's number alone.

Iteration n makes version n, so the learner's process finds its stage by the version that it is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tac_rl.config.learner import LearnerSection
from tac_rl.config.run import RunConfig


@dataclass(frozen=True)
class Stage:
    """Iterations `first` to `last` of a run, counted from 1."""

    number: int
    """From 1."""
    kind: str
    """sft, grpo or dpo."""
    first: int
    last: int
    settings: LearnerSection
    """The run's `learner` section with the stage's own fields over it."""
    from_run: str | None = None
    """The earlier run whose recorded rollouts it learns from; None: new rollouts."""

    @property
    def iterations(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        span = (
            f"iteration {self.first}" if self.iterations == 1 else f"iterations {self.first} to {self.last}"
        )
        return f"stage {self.number}, {self.kind}: {span}"

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "settings": self.settings.model_dump(mode="json")}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "Stage":
        return Stage(**{**document, "settings": LearnerSection.model_validate(document["settings"])})


def stages_of(config: RunConfig) -> tuple[Stage, ...]:
    """The run's stages; where the config gives none, the one that it is."""
    stages: list[Stage] = []
    first = 1
    for number, section in enumerate(config.all_stages(), 1):
        last = first + section.iterations - 1
        settings = section.resolved(config.learner)
        stages.append(Stage(number, section.kind, first, last, settings, section.from_run))
        first = last + 1
    return tuple(stages)


def stage_at(stages: Sequence[Stage], iteration: int) -> Stage:
    """The stage of an iteration; what comes after the last stage's end still belongs to it."""
    return next((stage for stage in stages if iteration <= stage.last), stages[-1])


def learning_rate(settings: LearnerSection, iteration: int, iterations: int) -> float:
    """Learning rate of a stage's iteration 0 .. iterations - 1."""
    peak, warmup = settings.learning_rate, settings.warmup_iterations
    if iteration < warmup:
        return peak * (iteration + 1) / warmup
    if settings.schedule == "linear":
        return peak * max(0, iterations - iteration) / max(1, iterations - warmup)
    return peak
