"""The config of the warm start: how the tiny policy is made from nothing. One YAML file of its own."""

from pathlib import Path

from pydantic import Field

from tac_rl.config.base import Section
from tac_rl.config.office import OfficeSection
from tac_rl.config.sandbox import SandboxSection
from tac_rl.config.tasks import TasksSection


class ModelSection(Section):
    """The shape of the Qwen2-architecture model."""

    hidden: int = Field(192, ge=16)
    """Width of the residual stream."""
    layers: int = Field(4, ge=1)
    heads: int = Field(6, ge=1)
    """Attention heads; each has its own keys and values."""
    intermediate: int = Field(512, ge=16)
    """Width of the gated feed-forward layer."""
    vocabulary: int = Field(1152, ge=320)
    """Most entries of the tokenizer."""
    context: int = Field(2048, ge=256)
    """Longest sequence that the model is said to take."""


class DemonstrationsSection(Section):
    """How many episodes are played in real sandboxes, and how sloppy the sloppy ones are."""

    clean: int = Field(400, ge=1)
    """Episodes without a mistake, for each package."""
    sloppy: int = Field(300, ge=1)
    """Episodes with random mistakes, for each package."""
    completion: dict[int, float] = Field(default_factory=lambda: {1: 0.45, 2: 0.35, 3: 0.27})
    """Difficulty to the share of sloppy episodes that come to their end without a mistake."""
    sandboxes: int = Field(2, ge=1)
    """Sandboxes in which they are played at once."""


class PhaseSection(Section):
    """One phase of training."""

    tokens: int = Field(ge=1)
    """Length of the phase, in tokens read."""
    batch_tokens: int = Field(2048, ge=128)
    """Tokens of one optimiser step, padding included."""
    matrix_rate: float = Field(0.01, gt=0)
    """Learning rate of the matrices (Muon)."""
    other_rate: float = Field(3e-3, gt=0)
    """Learning rate of embeddings, norms and biases (AdamW)."""
    drills: float = Field(0.0, ge=0, le=1)
    """Share of drills among the rows; the rest are demonstrations."""
    warmup: float = Field(0.03, ge=0, lt=1)
    """Share of the phase in which the rates rise; afterwards they fall to zero along a cosine."""


class WarmstartConfig(Section):
    """The whole recipe: tokenizer, demonstrations, a clean phase, a sloppy phase."""

    out: Path = Path("tac_rl/policies/tiny")
    """Where tokenizer, config and weights go."""
    work: Path = Path("build/warmstart")
    """Where demonstrations and the clean checkpoint are kept; steps that are done there are not repeated."""
    seed: int = 1
    """Of every random stream."""
    threads: int = Field(2, ge=1)
    """CPU threads of the training."""
    renaming: float = Field(0.7, ge=0, le=1)
    """Share of training episodes in which names are exchanged for others of their pool, throughout."""
    tasks: TasksSection = TasksSection()
    sandbox: SandboxSection = SandboxSection()
    office: OfficeSection = OfficeSection()
    model: ModelSection = ModelSection()
    demonstrations: DemonstrationsSection = DemonstrationsSection()
    drill: PhaseSection = PhaseSection(tokens=350_000, drills=1.0)
    """Copying names, before there is any work."""
    clean: PhaseSection = PhaseSection(tokens=2_600_000, drills=0.15)
    """Until the policy can do the work. Without some drills it forgets how to copy before names matter."""
    sloppy: PhaseSection = PhaseSection(tokens=500_000, batch_tokens=4096, matrix_rate=0.004, other_rate=6e-4)
    """Until it seldom does."""
