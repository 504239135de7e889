"""The stages of a run (sft, grpo, dpo), as its config lays them over the iterations. Not to be confused with what the
loop is doing at the moment, which the run directory calls `stage` too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingStage:
    """Iterations `first` to `last`, counted from 1."""

    number: int
    kind: str
    first: int
    last: int
    from_run: str | None

    def progress(self, finished: int) -> str:
        """Such as `grpo 4/40`, where `finished` iterations of the run have finished."""
        length = self.last - self.first + 1
        return f"{self.kind} {min(max(0, finished - self.first + 1), length)}/{length}"

    def to_json(self, of: int) -> dict[str, Any]:
        return {**vars(self), "of": of}


def training_stages(config: Mapping[str, Any]) -> tuple[TrainingStage, ...]:
    """The stages that a run's config names; none for a run without, or for a config that can't be understood."""
    stages: list[TrainingStage] = []
    first = 1
    try:
        for number, section in enumerate(config.get("stages") or (), 1):
            last = first + int(section["iterations"]) - 1
            stages.append(TrainingStage(number, str(section["kind"]), first, last, section.get("from_run")))
            first = last + 1
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()  # a display must not end on what somebody edited
    return tuple(stages)


def stage_of(stages: Sequence[TrainingStage], iteration: int) -> TrainingStage | None:
    """The stage of an iteration; None in a run without stages."""
    return next((stage for stage in stages if iteration <= stage.last), stages[-1] if stages else None)
