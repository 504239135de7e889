"""The memory plan as lines of text."""

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
        f"Memory plan: {plan.shape.parameters / 1e9:.3g}B parameters on {plan.card.name}, "
        f"{_gib(plan.card.bytes)} GiB, of which {_gib(plan.usable)} usable",
        f"  engine:  {plan.engine_kind}, context {plan.context}",
        f"  learner: {load.weights} base, LoRA rank {load.rank}, {load.tokens} tokens at once, "
        f"{'bfloat16' if load.autocast else 'float32'} products",
        f"           gradient checkpointing {'on' if load.checkpointing else 'off'}, on {load.device}",
        "",
        f"  {'GiB':14}{'engine':>9}{'learner':>9}",
    ]
    for part, label in PARTS.items():
        values = [getattr(side, part, None) for side in (engine, plan.learner)]
        lines.append(f"  {label:14}" + "".join(f"{'' if v is None else _gib(v):>9}" for v in values))
    lines += [
        f"  {'alone':14}{_gib(engine.total):>9}{_gib(plan.learner.total):>9}",
        "",
        f"  while rollouts run {_gib(plan.rollouts)}, while the learner steps {_gib(plan.step)}"
        + (" (the engine asleep)" if plan.turns else ""),
        f"  of {_gib(plan.usable)} usable: " + ("fits" if plan.fits else "DOES NOT FIT"),
    ]
    if engine.reserved:
        lines.append(f"  (the KV cache fills what is left of the engine's reservation of {_gib(engine.reserved)})")
    lines += [f"  - {line}" for line in plan.advice]
    return lines


def _gib(value: int) -> str:
    gib = value / GIB
    return f"{gib:.1f}" if gib >= 10 else f"{gib:.2f}"
