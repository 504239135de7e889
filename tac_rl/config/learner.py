"""The `learner` section: what the update is, and what the machine may spend on it.

`None` for a setting of the loss means "what the loss's paper says"; docs/learning.md has the table.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from tac_rl.config.art import OF_ART, ArtSection
from tac_rl.config.base import Section


class LoraSection(Section):
    """The adapter that is trained; the base model never changes."""

    rank: int = Field(default=16, ge=1)
    """Rank of every low-rank pair. vLLM serves 8, 16, 32, 64, 128, 256, 320 and 512."""
    alpha: float = Field(default=32.0, gt=0)
    """The pair's product is scaled by alpha / rank."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names (`q_proj`, ...), or every linear layer but the output layer."""


class SftSection(Section):
    """What `loss: sft` learns from: the successful rollouts of each group."""

    min_reward: float = 1.0
    """A rollout with at least this reward is a success; 1 is full completion."""
    per_group: int | None = Field(default=None, ge=1)
    """Most successes of one group, the best first; None: all. A bound keeps tasks that always succeed from
    outweighing the others."""


class DpoSection(Section):
    """What `loss: dpo` learns from: pairs of a better and a worse rollout of the same group."""

    beta: float = Field(default=0.1, gt=0)
    """Strength of the pull towards the reference: the larger, the less the policy may move for a pair."""
    reference: Literal["start", "base"] = "start"
    """start: the adapter that the stage began with. base: the base model, adapter off."""
    min_margin: float = Field(default=0.05, gt=0)
    """Least difference in reward between the two of a pair."""
    pairs_per_group: int = Field(default=4, ge=1)
    """Most pairs of one group. A rollout is in one pair at most, so a group of G gives up to G / 2."""


class LearnerSection(Section):
    """Loss, optimiser, precision and limits of the LoRA learner."""

    kind: Literal["own", "art"] = "own"
    """own: this project's learner. art: the trainer and the vLLM server of OpenPipe's ART, on GPUs (docs/art.md); what
    isn't named then has ART's values. `learner: art` is short for `learner: {kind: art}`."""
    art: ArtSection = ArtSection()
    """Of `kind: art`."""
    loss: Literal["grpo", "dr_grpo", "gspo", "cispo", "sft", "dpo"] = "grpo"
    """One module each in `tac_rl/learning/losses`. The last two are usually stages of a run (`stages`)."""
    sft: SftSection = SftSection()
    """Of `loss: sft`."""
    dpo: DpoSection = DpoSection()
    """Of `loss: dpo`."""
    learning_rate: float = Field(default=1e-3, ge=0)
    """Peak learning rate of AdamW. 0 leaves the weights as they are (a control experiment)."""
    schedule: Literal["constant", "linear"] = "constant"
    """After the warm-up: constant, or linear down to one last small step at the run's last iteration."""
    warmup_iterations: int = Field(default=0, ge=0)
    """Iterations over which the learning rate rises linearly to its peak."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of AdamW's running mean and running square."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the adapter's weights."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this Euclidean norm."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the rows of one step."""
    minibatches: int = Field(default=1, ge=1)
    """Optimiser updates per pass; rollouts are dealt out at random. 1 is purely on-policy."""
    clip_low: float | None = Field(default=None, ge=0)
    """The importance ratio is clipped below at 1 - clip_low; None: as the loss's paper has it."""
    clip_high: float | None = Field(default=None, ge=0)
    """The importance ratio is clipped above at 1 + clip_high; None: as the loss's paper has it."""
    old_logprobs: Literal["learner", "engine"] = "learner"
    """Denominator of the clipped ratio: the learner's own log-probabilities before the step (with truncated
    importance sampling against the engine's), or the engine's recorded ones (and no further correction)."""
    truncate_importance_at: float | None = Field(default=2.0, gt=0)
    """Cap of the importance weight learner/engine of a token; None: no correction. Only with
    `old_logprobs: learner`."""
    normalisation: Literal["tokens", "rollouts", "constant"] | None = None
    """Mean over all tokens, mean over rollouts of the mean over their tokens, or the sum over tokens
    divided by rollouts x constant_tokens; None: as the loss's paper has it."""
    constant_tokens: int = Field(default=512, ge=1)
    """Divisor per rollout for `normalisation: constant`."""
    scale_rewards: bool | None = None
    """Divide advantages by the group's standard deviation; None: as the loss's paper has it."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence from the base model (adapter off). 0: not even computed."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the mean entropy of the sampled positions, which is then encouraged."""
    lora: LoraSection = LoraSection()
    """The adapter."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Autocast of matrix products. auto: bfloat16 where the processor has instructions for it."""
    base_weights: Literal["auto", "float32", "bfloat16", "nf4"] = "auto"
    """Number format of the frozen base model. auto: bfloat16 on a GPU that computes in it, else float32. nf4: four
    bits (QLoRA, needs the extra `qlora`), a third of the memory of bfloat16."""
    device: str = Field(default="auto", pattern="^(auto|cpu|mps|cuda(:[0-9]+)?)$")
    """auto: cuda where there is one, else Apple's mps, else cpu. Of several GPUs auto and cuda take the first that the
    engine leaves free; cuda:1 names one, counted as in `engine.vllm.gpus`."""
    threads: int = Field(default=1, ge=1)
    """Threads of torch on the CPU."""
    own_cores: int = Field(default=0, ge=0)
    """Cores of the processor that only the learner computes on, while all else of the run keeps to the others. 0: it
    shares all with them, which on two cores makes more rollouts (docs/benchmarks.md, asynchronous training)."""
    micro_batch_tokens: int = Field(default=2048, ge=1)
    """Tokens computed at once (shared prompts count once): bounds memory, and changes no gradient."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute activations in the backward pass: less memory, about a third more time, the same gradients. auto:
    where the memory plan says that a step wouldn't fit without."""
    start_timeout_s: float = Field(default=300.0, gt=0)
    """Limit for starting the process and loading model and adapter."""
    step_timeout_s: float = Field(default=1800.0, gt=0)
    """Limit for one step; then the process is killed and the run ends with an error."""

    @model_validator(mode="before")
    @classmethod
    def _kind_in_one_word(cls, document: Any) -> Any:
        if isinstance(document, str):
            document = {"kind": document}
        if isinstance(document, dict) and document.get("kind") == "art":
            return {**OF_ART, **document}
        return document
