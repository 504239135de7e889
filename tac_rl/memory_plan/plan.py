"""The memory plan of a run: what serving and learning take, each alone and together, beside what the cards have.

A plan is arithmetic over the model's `config.json` and the run's config. How far it is from what a step takes is
measured on the CPU (bench/memory_plan.py).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tac_rl.config.run import RunConfig
from tac_rl.memory_plan.card import Card
from tac_rl.memory_plan.engine import EngineMemory, engine_memory, kv_bytes_per_token
from tac_rl.memory_plan.learner import LearnerLoad, LearnerMemory, learner_load, learner_memory
from tac_rl.memory_plan.placement import Placement
from tac_rl.memory_plan.shape import GIB, ModelShape

USABLE = 0.96
"""Of a card's memory: the rest is the driver's, a display's, and what the allocator can't join."""
ASLEEP_BYTES = int(1.5 * GIB)
"""What a vLLM server keeps of the card while it sleeps: CUDA's context and captured graphs. An estimate."""
SHARE_WITHOUT_CHECKPOINTING = 0.8
"""As in `learning/loading.py`: above this share of what is free, `gradient_checkpointing: auto` is on."""
HOST_PROCESSES = 6 * GIB
"""Of the machine's memory beside what is counted: CUDA's libraries in two processes, office, sandboxes. An estimate."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each phase, and whether they fit."""

    card: Card
    """The engine's; where the model is split over several, each of them."""
    learner_card: Card
    shared: bool
    """Whether it is the same one."""
    shape: ModelShape
    engine_kind: str
    engine: EngineMemory
    learner: LearnerMemory
    load: LearnerLoad
    context: int
    placement: Placement
    host_bytes: int | None = None
    """The machine's memory; None: not known, and not judged."""
    advice: tuple[str, ...] = ()

    @property
    def turns(self) -> bool:
        """Whether engine and learner take turns (`engine.time_sharing`)."""
        return self.placement.turns

    @property
    def usable(self) -> int:
        """Of the engine's card."""
        return int(self.card.bytes * USABLE)

    @property
    def usable_by_learner(self) -> int:
        return int(self.learner_card.bytes * USABLE)

    @property
    def together(self) -> int:
        """Engine and learner at work at once, wherever they are."""
        return self.engine.total + self.learner.total

    @property
    def asleep(self) -> int:
        """What a sleeping learner keeps of its card: the context."""
        return self.learner.runtime

    @property
    def rollouts(self) -> int:
        """On the engine's card while rollouts run: a learner on it waits with its weights and optimiser, or sleeps."""
        if not self.shared:
            return self.engine.total
        return self.engine.total + (self.asleep if self.turns else self.learner.waiting)

    @property
    def step(self) -> int:
        """On the learner's card while it steps: an engine on it sleeps, or keeps all that it has."""
        if not self.shared:
            return self.learner.total
        return self.learner.total + (ASLEEP_BYTES if self.turns else self.engine.total)

    @property
    def peak(self) -> int:
        """The most that a card bears."""
        return max(self.rollouts, self.step)

    @property
    def host(self) -> int:
        """Of the machine's memory at the peak. Of parts on GPUs: with turns, what sleeps in it (and the base's copy
        that an awake learner leaves there); without, the base on its way to the card."""
        if not self.on_gpu:
            return self.peak + GIB
        engine = (
            self.engine.total if self.card.kind != "cuda" else self.engine.asleep_on_host if self.turns else 0
        )
        if self.learner_card.kind != "cuda":
            return HOST_PROCESSES + engine + self.learner.total
        loading = 0 if self.load.weights == "nf4" else self.learner.weights
        return HOST_PROCESSES + engine + (self.learner.lasting if self.turns else loading)

    @property
    def on_gpu(self) -> bool:
        """Whether engine or learner computes on one."""
        return "cuda" in (self.card.kind, self.learner_card.kind)

    @property
    def host_fits(self) -> bool:
        """Whether the machine's memory holds what the GPUs' parts keep in it."""
        return self.host_bytes is None or not self.on_gpu or self.host <= self.host_bytes

    @property
    def fits(self) -> bool:
        on_cards = self.rollouts <= self.usable and self.step <= self.usable_by_learner
        return on_cards and self.engine.fits_reservation and self.host_fits

    def document(self) -> dict[str, Any]:
        """As plain JSON, in bytes."""
        return {
            "card": asdict(self.card),
            "learner_card": asdict(self.learner_card),
            "placement": asdict(self.placement),
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
            "usable_by_learner": self.usable_by_learner,
            "host": self.host,
            "host_bytes": self.host_bytes,
            "fits": self.fits,
            "advice": list(self.advice),
        }


def make_plan(
    config: RunConfig,
    shape: ModelShape,
    engine_kind: str,
    cards: Sequence[Card],
    placement: Placement,
    *,
    cpu: Card,
    pretended: bool = False,
) -> MemoryPlan:
    """The plan of a run. `cards`: the GPUs, as `placement` counts them, or what the machine has in their place; `cpu`:
    its processor and memory; `pretended`: the GPUs are another machine's, so that memory is not judged. Raises nothing:
    what doesn't fit is told in `advice`."""
    context = min(config.engine.max_model_len or min(shape.context, 4096), shape.context)
    card = _card(cards, placement.engine[0] if placement.engine else None, cpu)
    learner_card = _card(cards, placement.learner, cpu)
    engine = engine_memory(
        shape,
        config.engine,
        engine_kind,
        context=context,
        sequences=config.rollouts.concurrency,
        rank=config.learner.lora.rank,
        card=card.bytes if card.kind == "cuda" else 0,
    )
    shared = placement.shared or (not placement.engine and placement.learner is None)
    beside = (ASLEEP_BYTES if placement.turns else engine.total) if shared else 0
    load = _load(config, shape, learner_card, context, int(learner_card.bytes * USABLE) - beside)
    learner = learner_memory(shape, load)
    plan = MemoryPlan(
        card,
        learner_card,
        shared,
        shape,
        engine_kind,
        engine,
        learner,
        load,
        context,
        placement,
        host_bytes=None if pretended else cpu.bytes,
    )
    return replace(plan, advice=_advice(config, plan))


def _card(cards: Sequence[Card], number: int | None, cpu: Card) -> Card:
    """A part's card. Where there are GPUs that nvidia-smi doesn't know, `cards` holds none of them."""
    if cards[0].kind != "cuda":
        return cards[0]
    return cpu if number is None else cards[number]


def _load(config: RunConfig, shape: ModelShape, card: Card, context: int, free: int) -> LearnerLoad:
    settings = config.learner
    device = card.kind if settings.device == "auto" else settings.device.partition(":")[0]
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
    over = plan.rollouts - plan.usable, plan.step - plan.usable_by_learner
    if max(over) > 0:
        phase = "while rollouts run" if over[0] >= over[1] else "while the learner steps"
        advice.append(f"{phase} it is {max(over) / GIB:.1f} GiB too much; the cheapest change first:")
        if plan.shared and not plan.turns and plan.engine_kind == "vllm" and engine.total <= plan.usable:
            advice.append(
                'engine.time_sharing: "on" (engine and learner sleep in turn in the machine\'s memory)'
            )
        if not load.checkpointing:
            advice.append("learner.gradient_checkpointing: true (a third more time)")
        spare = engine.reserved - engine.weights - engine.lora - engine.runtime
        if (
            (over[0] > 0 or not plan.turns)
            and plan.shared
            and engine.reserved
            and spare > 2 * per_token * plan.context
        ):
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
        advice.append(
            "a shorter context (engine.max_model_len), and with it shorter rows; or a smaller model"
        )
    if not plan.host_fits:
        advice.append(_host_advice(plan))
    if engine.kv_cache < engine.kv_cache_wanted:
        held = engine.kv_cache // max(1, per_token * plan.context)
        wanted = min(config.rollouts.concurrency, config.engine.max_batch)
        advice.append(f"the KV cache holds {held} full contexts; of {wanted} at once some may have to wait")
    return tuple(advice)


def _host_advice(plan: MemoryPlan) -> str:
    """For a machine whose own memory is too small for what sleeps in it."""
    there = (plan.host_bytes or 0) / GIB
    text = f"the machine's own memory: about {plan.host / GIB:.1f} GiB are wanted, {there:.1f} are there"
    if plan.turns:
        engine, learner = plan.engine.asleep_on_host / GIB, plan.learner.lasting / GIB
        text += f" (asleep the engine takes {engine:.1f}, the learner {learner:.1f})"
    if plan.load.weights != "nf4":
        text += "; learner.base_weights: nf4 takes less"
    return text + "; or give engine and learner a GPU each, or add memory"
