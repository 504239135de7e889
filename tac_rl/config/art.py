"""`learner.kind: art`: what ART's own trainer needs to be told, and what it can't do.

ART 0.5.18 fixes some of what our learner leaves open. A config must say what happens, so a setting that ART has no
place for is an error that names it, and `learner: art` alone takes ART's values (`OF_ART`).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from tac_rl.config.base import Section

if TYPE_CHECKING:
    from tac_rl.config.learner import LearnerSection
    from tac_rl.config.run import RunConfig

WEIGHT_DECAY = 0.1
"""ART sets it before every step, whatever its trainer was told."""
WARMUP_TOKENS = 1024
"""ART's first step of a process is on so many tokens of the first row, in chunks of `logprob_chunk`."""
OF_ART: Mapping[str, Any] = {
    "loss": "cispo",
    "learning_rate": 5e-6,
    "betas": (0.9, 0.99),
    "weight_decay": WEIGHT_DECAY,
    "max_grad_norm": 0.1,
    "old_logprobs": "engine",
    "base_weights": "nf4",
}
"""Values that fields of `learner` have with `kind: art` where the config doesn't name them: those of ART."""
OURS: Mapping[str, Mapping[str, str]] = {
    "init_args": {
        "model_name": "model",
        "max_seq_length": "engine.max_model_len",
        "load_in_4bit": "learner.base_weights",
    },
    "peft_args": {
        "r": "learner.lora.rank",
        "lora_alpha": "learner.lora.alpha",
        "target_modules": "learner.lora.targets",
        "random_state": "seed",
        "use_gradient_checkpointing": "learner.gradient_checkpointing",
    },
    "trainer_args": {
        "adam_beta1": "learner.betas",
        "adam_beta2": "learner.betas",
        "learning_rate": "learner.learning_rate",
        "max_grad_norm": "learner.max_grad_norm",
        "weight_decay": "learner.weight_decay",
        "optim": "learner.art.optimizer",
        "gradient_checkpointing": "learner.gradient_checkpointing",
    },
}
"""Arguments that fields of ours give."""


class ArtSection(Section):
    """Settings of ART's trainer that our learner has no counterpart of; used only with `learner.kind: art`."""

    trainer_gpus: tuple[int, ...] = ()
    """GPUs that train, from 0 on; empty: trainer and vLLM take turns on one (`engine.time_sharing: "on"`)."""
    inference_gpus: tuple[int, ...] = ()
    """The GPU of vLLM where `trainer_gpus` names others."""
    optimizer: str = "paged_adamw_8bit"
    """Name of the optimiser as Hugging Face's trainer knows it."""
    packed_length: int | None = Field(default=None, ge=2)
    """Tokens that every row is filled up to; None: the longest row of a step, rounded up to two chunks."""
    logprob_chunk: int = Field(default=1024, ge=2)
    """Positions whose logits are computed at once; a divisor of 1024."""
    init_args: dict[str, Any] = Field(default_factory=dict)
    """More arguments of Unsloth's `FastLanguageModel.from_pretrained`, as they are."""
    peft_args: dict[str, Any] = Field(default_factory=dict)
    """More arguments of Unsloth's `get_peft_model`, as they are."""
    trainer_args: dict[str, Any] = Field(default_factory=dict)
    """More arguments of TRL's `GRPOConfig`, as they are."""

    @field_validator("logprob_chunk")
    @classmethod
    def _a_divisor(cls, chunk: int) -> int:
        if WARMUP_TOKENS % chunk:
            raise ValueError(f"must be a divisor of {WARMUP_TOKENS}, on which ART's first step is made")
        return chunk

    @model_validator(mode="after")
    def _gpus_as_art_takes_them(self) -> Self:
        if bool(self.trainer_gpus) != bool(self.inference_gpus):
            raise ValueError("trainer_gpus and inference_gpus: name both, or neither")
        if self.trainer_gpus and self.trainer_gpus != tuple(range(len(self.trainer_gpus))):
            raise ValueError("trainer_gpus: ART takes them from 0 on, without gaps ([0], [0, 1])")
        if len(self.inference_gpus) > 1 or set(self.inference_gpus) & set(self.trainer_gpus):
            raise ValueError("inference_gpus: ART serves from one GPU, which is none of trainer_gpus")
        return self

    @model_validator(mode="after")
    def _nothing_told_twice(self) -> Self:
        for arguments, known in OURS.items():
            for name in sorted(set(getattr(self, arguments)) & set(known)):
                raise ValueError(f"{arguments}.{name}: set {known[name]} in its place")
        return self

    @property
    def shared(self) -> bool:
        """Whether trainer and vLLM take turns on one GPU."""
        return not self.trainer_gpus


def beyond_art(config: "RunConfig") -> Iterator[str]:
    """What of a run with `learner.kind: art` ART can't do, each with its field and the fix."""
    yield from _of_learner(config.learner)
    for number, stage in enumerate(config.stages, 1):
        if stage.kind != "grpo":
            yield f"stages: stage {number} is {stage.kind}, which is not ART's; take grpo"
            continue
        settings = stage.resolved(config.learner)
        for name in ("betas", "weight_decay", "max_grad_norm"):
            if getattr(settings, name) != getattr(config.learner, name):
                yield f"stages: stage {number} changes {name}, which ART's trainer takes once for all stages"
        yield from (f"stages: stage {number}: {line}" for line in _of_step(settings))
    yield from _of_serving(config)


def _of_learner(settings: "LearnerSection") -> Iterator[str]:
    yield from _of_step(settings)
    if settings.weight_decay != WEIGHT_DECAY:
        yield f"learner.weight_decay: ART always takes {WEIGHT_DECAY}; set it to that"
    if settings.precision == "float32":
        yield "learner.precision: ART computes in 16 bits; set it to auto"
    if settings.base_weights == "float32":
        yield "learner.base_weights: ART's trainer has bfloat16 and nf4"
    if settings.device not in ("auto", "cuda"):
        yield "learner.device: ART's trainer needs a CUDA GPU; set it to auto"
    if settings.own_cores:
        yield "learner.own_cores: ART's trainer steps on a GPU, where it needs none; set it to 0"
    packed, chunk = settings.art.packed_length, settings.art.logprob_chunk
    if packed is not None and packed % chunk:
        yield f"learner.art.packed_length: must be a multiple of learner.art.logprob_chunk, which is {chunk}"


def _of_step(settings: "LearnerSection") -> Iterator[str]:
    if settings.loss in ("sft", "dpo"):
        yield f"learner.loss: {settings.loss} is not ART's; take grpo, dr_grpo, gspo or cispo"
    if settings.epochs != 1 or settings.minibatches != 1:
        yield "learner.epochs, learner.minibatches: ART makes one update for each row, once; leave both at 1"
    if settings.entropy_coefficient:
        yield "learner.entropy_coefficient: ART has no such term; set it to 0"


def _of_serving(config: "RunConfig") -> Iterator[str]:
    engine, art = config.engine, config.learner.art
    if engine.kind == "transformers":
        yield "engine.kind: ART serves with vLLM; set it to vllm or leave it out"
    for name, value in (
        ("engine.vllm.url", engine.vllm.url),
        ("engine.socket", engine.socket),
        ("gateway.socket", config.gateway.socket),
    ):
        if value is not None:
            yield f"{name}: ART starts a vLLM server of its own, behind the gateway of this run; leave it out"
    wanted = "on" if art.shared else "off"
    if engine.time_sharing != wanted:
        why = "takes turns with vLLM on one GPU" if art.shared else "has GPUs of its own (trainer_gpus)"
        yield f'engine.time_sharing: ART\'s trainer {why}; set it to "{wanted}"'
    if art.shared and config.rollouts.max_staleness:
        yield (
            "rollouts.max_staleness: no rollout can go on while trainer and vLLM take turns; set it to 0, or give "
            "each GPUs of its own (learner.art.trainer_gpus, inference_gpus)"
        )
    if config.rollouts.temperature != 1.0:
        yield "rollouts.temperature: ART computes log-probabilities at temperature 1; set it to 1"
    if art.packed_length is not None and art.packed_length < (engine.max_model_len or 0):
        yield f"learner.art.packed_length: rows can have engine.max_model_len={engine.max_model_len} tokens"
