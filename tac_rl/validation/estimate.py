"""Which config a machine should use, and about how long one iteration takes there.

An estimate, from rates that were measured on this machine and from what an attempt at a shipped task is like. It is
meant to tell minutes from hours.
"""

from tac_rl.config.run import RunConfig
from tac_rl.memory_plan.engine import kv_bytes_per_token
from tac_rl.memory_plan.plan import MemoryPlan

SAMPLED_TOKENS, ROW_TOKENS = 900, 2500
"""Of an attempt of a model that explains itself: sampled (six turns of 150), and with prompt and tool output."""
TINY_PARAMETERS, TINY_SAMPLED_TOKENS, TINY_ROW_TOKENS = 50_000_000, 110, 400
"""Policies of at most so many parameters write commands and nothing else, as the shipped one does."""
DECODE_SHARE = 0.5
"""Of the memory's bandwidth that generation reaches."""
TRAIN_SHARE = {"cuda": 0.35, "mps": 0.3, "cpu": 0.5}
"""Of the measured rate of products that a learner step reaches."""
ATTEMPT_SECONDS = 4.0
"""Of an attempt that neither engine nor learner computes: sandbox, tools, grading; attempts overlap."""

CANDIDATES = (
    "configs/qwen_2_5_7b_80gb.yaml",
    "configs/qwen_2_5_7b_two_gpus.yaml",
    "configs/qwen_2_5_7b_local.yaml",
    "configs/qwen_2_5_1_5b_16gb.yaml",
    "configs/qwen_2_5_0_5b.yaml",
)
"""For a GPU: the first whose plan fits."""
WITHOUT_GPU = "configs/tiny_cpu.yaml"


def seconds_per_iteration(
    config: RunConfig, plan: MemoryPlan, tflops: float, gb_per_s: float
) -> dict[str, float]:
    """`rollouts`, `learner` and `all`, in seconds; on GPUs of their own the two overlap where staleness allows it."""
    settings, shape = config.rollouts, plan.shape
    rollouts = settings.groups * settings.group_size
    sampled, row = SAMPLED_TOKENS, ROW_TOKENS
    if shape.parameters <= TINY_PARAMETERS:
        sampled, row = TINY_SAMPLED_TOKENS, TINY_ROW_TOKENS
    batch = max(1, min(settings.concurrency, config.engine.max_batch, rollouts))
    per_step = plan.engine.weights + batch * row / 2 * kv_bytes_per_token(shape, config.engine.dtype)
    # A step reads all weights once, and computes two operations for each of them and each sequence.
    step = max(
        per_step / (gb_per_s * 1e9 * DECODE_SHARE), 2 * shape.parameters * batch / (tflops * 1e12 * 0.5)
    )
    generation = rollouts * sampled / batch * step
    passes = 6 if plan.load.checkpointing else 4  # Forward, backward to the inputs, and forward again.
    share = TRAIN_SHARE[plan.load.device]
    learner = passes * shape.parameters * rollouts * row / (tflops * 1e12 * share)
    work = rollouts / batch * ATTEMPT_SECONDS
    at_once = settings.max_staleness and not plan.shared
    both = max(generation + work, learner) if at_once else generation + work + learner
    return {"rollouts": generation + work, "learner": learner, "all": both}
