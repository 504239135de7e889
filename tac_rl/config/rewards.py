"""The `rewards` section: what is added to the checker's grade. docs/rewards.md."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tac_rl.config.base import Section


class RulerJudgeSection(Section):
    """Which language model compares the rollouts of a group."""

    model: str | None = None
    """None: the run's own engine with the base model. With `base_url` the model's name there, else a model as litellm
    names it, such as `anthropic/claude-sonnet-4-5`."""
    base_url: str | None = None
    """Of an OpenAI-compatible endpoint, ending in `/v1`."""
    api_key_file: Path | None = None
    """A file that holds the key. None: none, or what litellm finds in the provider's environment variable."""
    temperature: float = Field(0.0, ge=0)
    structured: bool = True
    """Ask for JSON by a schema, where the judge is another than the run's own engine. Turn it off for servers that
    don't know `response_format`; the prompt says what to answer either way."""
    context_tokens: int | None = Field(None, ge=256)
    """Tokens of question and answer together. None: the engine's context for the run's own engine, else 32768."""
    answer_tokens: int = Field(1024, ge=64)
    """Of one answer; kept free in the context."""


class RulerSection(Section):
    """RULER: a judge compares the rollouts of a group. The checker stays the main reward."""

    mode: Literal["off", "ties", "always", "only"] = "off"
    """`ties`: only groups whose rewards the checker can't separate are judged. `always`: every group. `only`: the
    judge's scores take the place of the checker's, for tasks whose checker says too little."""
    weight: float = Field(0.1, gt=0, le=1)
    """What the judge's scores count beside the checker's, and a tie that it broke beside a group that the checker
    separated. `only` ignores it."""
    rubric: str | None = None
    """What makes one rollout better than another. None: ART's own (reaching the goal, then efficiency). A task
    package's `rubric` comes before it."""
    judge: RulerJudgeSection = RulerJudgeSection()
    """Default: the run's own engine with the base model."""
    retries: int = Field(2, ge=0)
    """How often a judge that failed or answered nonsense is asked again about a group."""
    seconds: float = Field(120.0, gt=0)
    """Time one answer may take."""
    concurrency: int = Field(4, ge=1)
    """Groups that are judged at once."""
    give_up_after: int = Field(3, ge=1)
    """Groups in a row without a usable answer, after which the judge is not asked again in this iteration."""
    agreement_share: float = Field(0.1, ge=0, le=1)
    """With `mode: ties`: share of the groups that the checker does separate which are judged too, only to measure how
    often the judge agrees with it."""

    @field_validator("mode", mode="before")
    @classmethod
    def _off_is_a_word(cls, mode: Any) -> Any:
        return "off" if mode is False else mode  # YAML reads a bare off as false


class RewardsSection(Section):
    """What the learner is told that a rollout was worth."""

    ruler: RulerSection = RulerSection()
    """A judge beside the checker."""
