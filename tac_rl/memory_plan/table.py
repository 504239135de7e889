"""The memory plan as lines of text."""

from tac_rl.memory_plan.card import Card
from tac_rl.memory_plan.plan import MemoryPlan
from tac_rl.memory_plan.shape import GIB

PARTS = {
    "weights": "base weights",
    "kv_cache": "KV cache",
    "lora": "adapters",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "activations": "activations",
    "logits": "logits",
    "mask": "attention mask",
    "runtime": "runtime",
}


def plan_lines(plan: MemoryPlan) -> list[str]:
    """For a terminal of 80 columns."""
    load, engine = plan.load, plan.engine
    lines = [
        f"Memory plan: {plan.shape.parameters / 1e9:.3g}B parameters on {_card(plan.card)}",
        *([] if plan.shared else [f"  and the learner on {_card(plan.learner_card)}"]),
        f"  engine:  {plan.engine_kind}, context {plan.context}{_where(plan.placement.engine)}",
        f"  learner: {load.weights} base, LoRA rank {load.rank}, {load.tokens} tokens at once, "
        f"{'bfloat16' if load.autocast else 'float32'} products",
        f"           gradient checkpointing {'on' if load.checkpointing else 'off'}, "
        f"on {load.device}" + ("" if plan.placement.learner is None else f":{plan.placement.learner}"),
        "",
        f"  {'GiB':14}{'engine':>9}{'learner':>9}",
    ]
    for part, label in PARTS.items():
        values = [getattr(side, part, None) for side in (engine, plan.learner)]
        lines.append(f"  {label:14}" + "".join(f"{'' if v is None else _gib(v):>9}" for v in values))
    lines += [
        f"  {'alone':14}{_gib(engine.total):>9}{_gib(plan.learner.total):>9}",
        "",
        *_phases(plan),
        "  " + ("fits" if plan.fits else "DOES NOT FIT"),
    ]
    if engine.reserved:
        lines.append(
            f"  (the KV cache fills what is left of the engine's reservation of {_gib(engine.reserved)})"
        )
    lines += [f"  - {line}" for line in plan.advice]
    return lines


def _phases(plan: MemoryPlan) -> list[str]:
    rollouts = f"  while rollouts run {_gib(plan.rollouts)}"
    step = f"while the learner steps {_gib(plan.step)}"
    if not plan.shared:
        lines = [f"{rollouts} of {_gib(plan.usable)}", f"  {step} of {_gib(plan.usable_by_learner)}"]
    else:
        asleep = (" (the learner asleep)", " (the engine asleep)") if plan.turns else ("", "")
        lines = [f"{rollouts}{asleep[0]},", f"  {step}{asleep[1]}, of {_gib(plan.usable)} usable"]
    if plan.on_gpu:
        there = "" if plan.host_bytes is None else f" of {_gib(plan.host_bytes)}"
        lines.append(f"  of the machine's own memory about {_gib(plan.host)}{there}")
    return lines


def _card(card: Card) -> str:
    return f"{card.name}, {_gib(card.bytes)} GiB"


def _where(gpus: tuple[int, ...]) -> str:
    if not gpus:
        return ""
    return f", on cuda:{gpus[0]}" if len(gpus) == 1 else f", split over GPUs {', '.join(map(str, gpus))}"


def _gib(value: int) -> str:
    gib = value / GIB
    return f"{gib:.1f}" if gib >= 10 else f"{gib:.2f}"
