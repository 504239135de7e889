"""`python course.py MODEL OUT float32|nf4 sleeps|stays`: a learner on the device trains through stages that use all
that it has.

With `sleeps` it leaves the device before each step and comes back for it. The last line of output is JSON: the bytes on
the device while it was awake and while it slept, and the tensors that these were of.
"""

import gc
import json
import sys
from pathlib import Path

import test_device_double as double
import torch
from learning_fixtures import random_groups, randomise_adapter

from tac_rl.config.learner import LearnerSection
from tac_rl.learning import loading
from tac_rl.learning.stages import Stage
from tac_rl.learning.step import LearnerPlan, StepLearner

STEPS = 5


def stages(settings: LearnerSection) -> tuple[Stage, ...]:
    """GRPO with an estimate of the divergence from the base, several updates a step; DPO against its own start."""
    grpo = settings.model_copy(update={"minibatches": 2, "kl_coefficient": 0.1})
    dpo = settings.model_copy(update={"loss": "dpo"})
    return Stage(1, "grpo", 1, 2, grpo), Stage(2, "dpo", 3, 4, dpo), Stage(3, "grpo", 5, STEPS, settings)


def on_the_device() -> list[str]:
    """Every tensor there that anything in this process still holds."""
    tensors = [o for o in gc.get_objects() if isinstance(o, torch.Tensor) and o.device.type == double.NAME]
    full = [tensor for tensor in tensors if tensor.untyped_storage().nbytes()]
    return [f"{type(tensor).__name__}{tuple(tensor.shape)}" for tensor in full]


def main(model: Path, out: Path, base: str, *, sleeps: bool) -> None:
    device = double.load()
    loading.choose_device = lambda wanted: device
    settings = LearnerSection.model_validate(
        {
            "base_weights": base,
            "precision": "bfloat16" if base == "nf4" else "float32",
            "lora": {"rank": 4, "alpha": 8},
            "gradient_checkpointing": True,
        }
    )
    learner = StepLearner(LearnerPlan(model, settings, iterations=STEPS, seed=0, stages=stages(settings)))
    randomise_adapter(learner)
    awake, asleep, left = [double.live_bytes()], [], []
    for version in range(1, STEPS + 1):
        if sleeps:
            learner.sleep()
            asleep.append(double.live_bytes())
            left += on_the_device()
            learner.wake()
        _, skipped = learner.step(random_groups(version), version, out / str(version))
        assert not skipped, skipped
        awake.append(double.live_bytes())
    print(json.dumps({"awake": awake, "asleep": asleep, "left": left}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sleeps=sys.argv[4] == "sleeps")
    sys.stdout.flush()
    import os

    os._exit(0)  # torch's threads for a foreign device are not joined at a usual exit
