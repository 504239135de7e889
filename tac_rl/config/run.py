"""The config of a run: what the YAML file holds. One section a part; defaults are right for the tiny CPU run."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from tac_rl.config.agent import BROWSER_MB, BROWSER_PROCESSES, SERVER_MB, SERVER_PROCESSES, AgentSection
from tac_rl.config.art import beyond_art
from tac_rl.config.base import Section
from tac_rl.config.curriculum import CurriculumSection
from tac_rl.config.engine import EngineSection
from tac_rl.config.gateway import GatewaySection
from tac_rl.config.learner import LearnerSection
from tac_rl.config.office import OfficeSection
from tac_rl.config.rewards import RewardsSection
from tac_rl.config.sandbox import SandboxSection
from tac_rl.config.stages import StageSection
from tac_rl.config.tasks import TasksSection


class RolloutsSection(Section):
    """How many attempts an iteration makes, and how they are sampled."""

    groups: int = Field(8, ge=1)
    """Task instances an iteration draws."""
    group_size: int = Field(8, ge=2)
    """Rollouts of each instance: GRPO compares them with one another."""
    concurrency: int = Field(32, ge=1)
    """Rollouts at once; each has a sandbox of its own."""
    retries: int = Field(1, ge=0)
    """How often a rollout that ended by an infrastructure failure is tried again."""
    min_group: int = Field(4, ge=2)
    """A group with fewer graded rollouts than this is not trained on."""
    max_staleness: int = Field(0, ge=0)
    """How many versions the policy at work in a rollout may be older than the one trained on it. 0: agents wait
    while the learner steps. 1 and more: they work on (asynchronous); engine and learner want a core or a GPU each."""
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(160, ge=1)
    """Of one model call."""


class EvaluationSection(Section):
    """The held-out curve. Its instances come from seeds that training never draws."""

    every: int = Field(10, ge=0)
    """Iterations between evaluations; 0 evaluates only before the first and after the last."""
    attempts: int = Field(96, ge=1)
    """Attempts of one evaluation, spread evenly over the packages."""
    final_attempts: int = Field(240, ge=1)
    """Attempts of the first and of the last evaluation, for the before/after table."""
    temperature: float = Field(1.0, ge=0)


class RunConfig(Section):
    """A whole run."""

    name: str | None = None
    """The run's name; a readable and unique one is made where it is missing."""
    runs_dir: Path = Path("runs")
    """Where run directories go."""
    seed: int = 1
    """Of every random stream of the run."""
    model: Path = Path("tac_rl/policies/tiny")
    """The base model: a Hugging Face directory with config, weights, tokenizer and chat template."""
    iterations: int = Field(40, ge=1)
    """How many in all; with `stages`, the sum of theirs, and may be left out."""
    stages: tuple[StageSection, ...] = ()
    """What the run learns with, one after the other; none: all iterations with `learner.loss`."""
    max_minutes: float | None = Field(None, gt=0)
    """No iteration is begun after so many minutes of training; the last evaluation and the report follow."""
    tasks: TasksSection = TasksSection()
    sandbox: SandboxSection = SandboxSection()
    office: OfficeSection = OfficeSection()
    engine: EngineSection = EngineSection()
    gateway: GatewaySection = GatewaySection()
    agent: AgentSection = AgentSection()
    rollouts: RolloutsSection = RolloutsSection()
    rewards: RewardsSection = RewardsSection()
    learner: LearnerSection = LearnerSection()
    curriculum: CurriculumSection = CurriculumSection()
    evaluation: EvaluationSection = EvaluationSection()
    keep_adapters: int = Field(3, ge=1)
    """Newest adapters kept on disk besides the first and the best; each is a few MB for the tiny policy."""
    keep_rows: bool = True
    """Keep the tokens of all training rollouts in the run directory, so that a later run can start from them
    (`stages: [{from_run: ...}]`)."""

    @model_validator(mode="before")
    @classmethod
    def _iterations_of_the_stages(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "iterations" in document:
            return document
        try:
            return document | {"iterations": sum(int(s["iterations"]) for s in document["stages"])}
        except (KeyError, TypeError, ValueError):
            return document  # no stages, or malformed ones, which their own validation tells

    @model_validator(mode="after")
    def _a_container_for_the_agent(self) -> "RunConfig":
        if self.agent.name != "openhands" or self.agent.openhands.placement != "container":
            return self
        if self.sandbox.kind != "docker":
            raise ValueError(
                "agent.openhands.placement: container needs sandbox.kind: docker, but it is "
                f"{self.sandbox.kind}; set it to docker, or placement to worker"
            )
        if self.agent.openhands.profile != "full":
            raise ValueError(
                "agent.openhands.placement: container runs the stock agent: set agent.openhands.profile to full"
            )
        for name, least in (("memory_mb", SERVER_MB), ("processes", SERVER_PROCESSES)):
            if getattr(self.sandbox, name) < least:
                raise ValueError(
                    f"sandbox.{name}: the agent-server of agent.openhands.placement: container counts there; "
                    f"set it to {least} or more"
                )
        return self

    @model_validator(mode="after")
    def _a_browser_where_demanded(self) -> "RunConfig":
        section = self.agent.openhands
        if self.agent.name != "openhands" or section.browser != "on":
            return self
        if section.profile != "full" or section.placement != "worker":
            raise ValueError(
                "agent.openhands.browser: on needs agent.openhands.profile: full and placement: worker, but they are "
                f"{section.profile} and {section.placement}; set them, or browser to auto"
            )
        for name, least in (("memory_mb", BROWSER_MB), ("processes", BROWSER_PROCESSES)):
            if getattr(self.sandbox, name) < least:
                raise ValueError(
                    f"sandbox.{name}: a browser (agent.openhands.browser: on) counts there; set it to {least} or more"
                )
        return self

    @model_validator(mode="after")
    def _what_art_can_do(self) -> "RunConfig":
        problems = list(beyond_art(self)) if self.learner.kind == "art" else []
        if problems:
            raise ValueError("; ".join(problems) + " (or learner.kind: own)")
        return self

    @model_validator(mode="after")
    def _stages_that_fit(self) -> "RunConfig":
        total = sum(stage.iterations for stage in self.stages)
        if self.stages and total != self.iterations:
            raise ValueError(
                f"iterations: the stages have {total} in all, but iterations is {self.iterations}; leave it out"
            )
        for number, stage in enumerate(self.stages, 1):
            if stage.kind == "grpo" and stage.resolved(self.learner).loss in ("sft", "dpo"):
                raise ValueError(
                    f"stages: stage {number} is grpo, but learner.loss is {self.learner.loss}; set it to grpo, "
                    "dr_grpo, gspo or cispo (sft and dpo are stages of their own kind)"
                )
        return self

    def all_stages(self) -> tuple[StageSection, ...]:
        """The stages; where none are given, the one that the run is."""
        if self.stages:
            return self.stages
        loss = self.learner.loss
        kind = loss if loss in ("sft", "dpo") else "grpo"
        return (StageSection(kind=kind, iterations=self.iterations),)
