"""The `stages` of a run: what it learns with, one after the other, such as sft, grpo, dpo."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, field_serializer, field_validator, model_validator

from tac_rl.config.base import Section
from tac_rl.config.learner import LearnerSection

SectionT = TypeVar("SectionT", bound=BaseModel)

OF_A_STAGE = frozenset(
    {
        *("loss", "sft", "dpo", "learning_rate", "schedule", "warmup_iterations", "betas", "weight_decay"),
        *("max_grad_norm", "epochs", "minibatches", "clip_low", "clip_high", "old_logprobs"),
        *("truncate_importance_at", "normalisation", "constant_tokens", "scale_rewards"),
        *("kl_coefficient", "entropy_coefficient", "micro_batch_tokens"),
    }
)
"""What a stage may set differently; the rest belongs to the adapter and the process, which all stages share."""


class StageSection(Section):
    """One stage of a run."""

    kind: Literal["sft", "grpo", "dpo"]
    """sft: imitate successful rollouts. grpo: reinforcement learning with `learner.loss`. dpo: prefer the better
    of two rollouts of a group."""
    iterations: int = Field(ge=1)
    """How many iterations it has."""
    learner: LearnerSection = LearnerSection()
    """What is different from the run's `learner` section in this stage: only the fields that are named here."""
    from_run: str | None = None
    """Name (or directory) of an earlier run whose recorded rollouts are learnt from, in place of new ones."""

    @field_validator("learner")
    @classmethod
    def _only_what_a_stage_may_set(cls, learner: LearnerSection) -> LearnerSection:
        shared = sorted(learner.model_fields_set - OF_A_STAGE)
        if shared:
            raise ValueError(
                f"{', '.join(shared)}: all stages share it; set it in the run's `learner` section"
            )
        return learner

    @model_validator(mode="after")
    def _parts_that_fit(self) -> "StageSection":
        if "loss" in self.learner.model_fields_set and self.kind != "grpo" and self.learner.loss != self.kind:
            raise ValueError(f"a stage of kind {self.kind} has the loss {self.kind}; leave learner.loss out")
        if self.from_run is not None and self.kind == "grpo":
            raise ValueError(
                "from_run: recorded rollouts are for sft and dpo; grpo needs rollouts of the current policy"
            )
        return self

    @field_serializer("learner")
    def _only_what_was_named(self, learner: LearnerSection) -> dict[str, Any]:
        # A dump with all defaults would, read again, override the run's section with them.
        return learner.model_dump(mode="json", exclude_unset=True)

    def resolved(self, learner: LearnerSection) -> LearnerSection:
        """The run's `learner` section with this stage's fields over it; for sft and dpo `kind` is the loss."""
        merged = _overlaid(learner, self.learner)
        return merged if self.kind == "grpo" else merged.model_copy(update={"loss": self.kind})


def _overlaid(under: SectionT, over: BaseModel) -> SectionT:
    """`under` with the fields that were given in `over`, section by section."""
    given: dict[str, Any] = {}
    for name in over.model_fields_set:
        value = getattr(over, name)
        given[name] = _overlaid(getattr(under, name), value) if isinstance(value, BaseModel) else value
    return under.model_copy(update=given)
