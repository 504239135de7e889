"""The memory plan of a run: what serving and learning take, each alone and together, beside what the card has.

A plan is arithmetic over the model's `config.json` and the run's config. How far it is from what a step takes is
measured on the CPU (bench/memory_plan.py).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from tac_rl.config.run import RunConfig
from tac_rl.memory_plan.card import Card
from tac_rl.memory_plan.engine import EngineMemory, engine_memory, kv_bytes_per_token
from tac_rl.memory_plan.learner import LearnerLoad, LearnerMemory, learner_load, learner_memory
from tac_rl.memory_plan.shape import GIB, ModelShape

USABLE = 0.96
"""Of a card's memory: the rest is the driver's, a display's, and what the allocator can't join."""
ASLEEP_BYTES = int(1.5 * GIB)
"""What a vLLM server keeps of the card while it sleeps: CUDA's context and captured graphs. An estimate."""
SHARE_WITHOUT_CHECKPOINTING = 0.8
"""As in `learning/loading.py`: above this share of what is free, `gradient_checkpointing: auto` is on."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each phase, and whether they fit."""

    card: Card
    shape: ModelShape
    engine_kind: str
    engine: EngineMemory
    learner: LearnerMemory
    load: LearnerLoad
    context: int
    turns: bool
    """Whether engine and learner take turns on the card (`engine.time_sharing`)."""
    advice: tuple[str, ...]

    @property
    def usable(self) -> int:
        return int(self.card.bytes * USABLE)

    @property
    def together(self) -> int:
        """Engine and learner at work at once."""
        return self.engine.total + self.learner.total

    @property
    def rollouts(self) -> int:
        """While rollouts run: the learner waits with its weights and its optimiser, or without them."""
        return self.engine.total + (self.learner.runtime if self.load.moves_away else self.learner.waiting)

    @property
    def step(self) -> int:
        """While the learner steps: the engine sleeps, or keeps all that it has."""
        return self.learner.total + (ASLEEP_BYTES if self.turns else self.engine.total)

    @property
    def peak(self) -> int:
        return max(self.rollouts, self.step)

    @property
    def fits(self) -> bool:
        return self.peak <= self.usable and self.engine.fits_reservation

    def document(self) -> dict[str, Any]:
        """As plain JSON, in bytes."""
        return {
            "card": asdict(self.card),
            "parameters": self.shape.parameters,
            "context": self.context,
            "engine": {"kind": self.engine_kind, **asdict(self.engine), "total": self.engine.total},
            "learner": {**asdict(self.learner), "total": self.learner.total, "load": asdict(self.load)},
            "phases": {
                "serving alone": self.engine.total,
                "learning alone": self.learner.total,
                "both at work": self.together,
                "rollouts": self.rollouts,
                "learner step": self.step,
            },
            "takes_turns": self.turns,
            "usable": self.usable,
            "fits": self.fits,
            "advice": list(self.advice),
        }


def make_plan(
    config: RunConfig, shape: ModelShape, engine_kind: str, card: Card, gpus: int = 1
) -> MemoryPlan:
    """The plan of a run on the first of `gpus` cards; raises nothing: what doesn't fit is told in `advice`."""
    context = min(config.engine.max_model_len or min(shape.context, 4096), shape.context)
    on_card = card.bytes if card.kind == "cuda" else 0
    engine = engine_memory(
        shape,
        config.engine,
        engine_kind,
        context=context,
        sequences=config.rollouts.concurrency,
        rank=config.learner.lora.rank,
        card=on_card,
    )
    turns = takes_turns(config, engine_kind, card, gpus)
    beside = ASLEEP_BYTES if turns else engine.total
    load = _load(config, shape, card, context, int(card.bytes * USABLE) - beside)
    learner = learner_memory(shape, load)
    plan = MemoryPlan(card, shape, engine_kind, engine, learner, load, context, turns, ())
    return replace(plan, advice=_advice(config, plan))


def takes_turns(config: RunConfig, engine_kind: str, card: Card, gpus: int) -> bool:
    """As `serving/hardware.py` decides, for a machine with `gpus` such cards."""
    if engine_kind != "vllm":
        return False
    wanted = config.engine.time_sharing
    return wanted == "on" or (wanted == "auto" and card.kind == "cuda" and gpus == 1)


def _load(config: RunConfig, shape: ModelShape, card: Card, context: int, free: int) -> LearnerLoad:
    settings = config.learner
    device = card.kind if settings.device == "auto" else settings.device
    sixteen = settings.precision == "bfloat16" or (
        settings.precision == "auto" and device != "mps" and card.bfloat16
    )
    weights = settings.base_weights
    if weights == "auto":
        weights = "bfloat16" if sixteen and device == "cuda" else "float32"
    checkpointing = settings.gradient_checkpointing

    def load(on: bool) -> LearnerLoad:
        return learner_load(
            settings, context, device=device, weights=weights, autocast=sixteen, checkpointing=on
        )

    if checkpointing == "auto":
        without = learner_memory(shape, load(False))
        free -= without.weights
        checkpointing = without.total - without.weights > SHARE_WITHOUT_CHECKPOINTING * max(0, free)
    return load(checkpointing)


def _advice(config: RunConfig, plan: MemoryPlan) -> tuple[str, ...]:
    """What to change, the most useful first; nothing where all fits."""
    advice: list[str] = []
    engine, learner, load = plan.engine, plan.learner, plan.load
    per_token = kv_bytes_per_token(plan.shape, config.engine.dtype)
    if engine.reserved and not engine.fits_reservation:
        need = (engine.weights + engine.lora + engine.runtime + engine.kv_cache) / plan.card.bytes
        advice.append(
            f"the engine's weights and one sequence's cache need a share of {need:.2f}: raise "
            f"engine.vllm.gpu_memory_utilization (now {config.engine.vllm.gpu_memory_utilization})"
            if need < USABLE
            else "the engine alone doesn't fit: serve the weights in eight bits "
            '(engine.vllm.extra_args: ["--quantization", "fp8"]), or take a smaller model'
        )
    if plan.peak > plan.usable:
        phase = "while rollouts run" if plan.rollouts >= plan.step else "while the learner steps"
        advice.append(f"{phase} it is {(plan.peak - plan.usable) / GIB:.1f} GiB too much; the cheapest change first:")
        if not plan.turns and plan.engine_kind == "vllm" and plan.rollouts <= plan.usable:
            advice.append('engine.time_sharing: "on" (the engine sleeps while the learner steps)')
        if not load.checkpointing:
            advice.append("learner.gradient_checkpointing: true (a third more time)")
        spare = engine.reserved - engine.weights - engine.lora - engine.runtime
        if engine.reserved and spare > 2 * per_token * plan.context:
            advice.append(
                f"lower engine.vllm.gpu_memory_utilization: {engine.kv_cache / GIB:.1f} GiB are for the KV cache, "
                f"one sequence of {plan.context} tokens fills {per_token * plan.context / GIB:.2f}"
            )
        if load.weights != "nf4" and load.device == "cuda":
            saved = (learner.weights - learner_memory(plan.shape, replace(load, weights="nf4")).weights) / GIB
            advice.append(f"learner.base_weights: nf4 (QLoRA) saves {saved:.1f} GiB")
        if load.tokens > load.row:
            advice.append(f"learner.micro_batch_tokens: {load.row} (changes no gradient, some speed)")
        if config.engine.dtype == "float32":
            advice.append("engine.dtype: bfloat16 halves what serving takes (raise engine.publish.tolerance)")
        advice.append("a shorter context (engine.max_model_len), and with it shorter rows; or a smaller model")
    if engine.kv_cache < engine.kv_cache_wanted:
        held = engine.kv_cache // max(1, per_token * plan.context)
        wanted = min(config.rollouts.concurrency, config.engine.max_batch)
        advice.append(f"the KV cache holds {held} full contexts; of {wanted} at once some may have to wait")
    return tuple(advice)
