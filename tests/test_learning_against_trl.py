"""Losses and gradients against TRL's GRPOTrainer: the same model, rows and settings."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from learning_fixtures import VOCABULARY, gradients, near_policy, random_groups, save_tiny_qwen2, step_learner
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from tac_rl.learning.adapters import trainable
from tac_rl.learning.advantages import advantages_of
from tac_rl.learning.base import Group
from tac_rl.learning.step import StepLearner

CONSTANT = 40
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def trl_inputs(groups: list[Group], scale: bool, old: str) -> dict[str, torch.Tensor]:
    """Prompts padded on the left, completions on the right; tool output masked out."""
    rows = [rollout.rows[0] for group in groups for rollout in group.rollouts]
    starts = [row.sampled.index(True) for row in rows]
    longest = max(starts)
    rest = max(len(row.token_ids) - start for row, start in zip(rows, starts, strict=True))
    inputs: dict[str, Any] = {
        name: torch.zeros(len(rows), width, dtype=torch.int64)
        for name, width in {
            "prompt_ids": longest,
            "prompt_mask": longest,
            "completion_ids": rest,
            "completion_mask": rest,
            "tool_mask": rest,
        }.items()
    }
    engine = torch.zeros(len(rows), rest)
    for at, (row, start) in enumerate(zip(rows, starts, strict=True)):
        length = len(row.token_ids) - start
        inputs["prompt_ids"][at, longest - start :] = torch.tensor(row.token_ids[:start])
        inputs["prompt_mask"][at, longest - start :] = 1
        inputs["completion_ids"][at, :length] = torch.tensor(row.token_ids[start:])
        inputs["completion_mask"][at, :length] = 1
        inputs["tool_mask"][at, :length] = torch.tensor(row.sampled[start:])
        engine[at, :length] = torch.tensor(row.logprobs[start:])
    values = [value for part in advantages_of(groups, scale=scale).advantages for value in part]
    inputs["advantages"] = torch.tensor(values)
    inputs["num_items_in_batch"] = inputs["tool_mask"].sum()
    if old == "engine":
        inputs["old_per_token_logps"] = engine
    return inputs | {"engine": engine}


def trainer_of(learner: StepLearner, folder: Path, **settings: Any) -> GRPOTrainer:
    words = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1"
    )
    trainer = GRPOTrainer(
        model=learner.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=CONSTANT,
            beta=0.0,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to=[],
            **settings,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["w2 w3"] * 4}),
        processing_class=tokenizer,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dapo": ({"loss": "grpo"}, {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28}),
    "grpo": (
        {"loss": "grpo", "normalisation": "rollouts", "clip_high": 0.2},
        {"loss_type": "grpo", "epsilon": 0.2},
    ),
    "dr_grpo": (
        {"loss": "dr_grpo", "constant_tokens": CONSTANT},
        {"loss_type": "dr_grpo", "epsilon": 0.2, "scale_rewards": "none"},
    ),
    "gspo": (
        {"loss": "gspo"},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
    ),
    "cispo": ({"loss": "cispo"}, {"loss_type": "cispo", "epsilon_high": 5.0}),
}


@pytest.mark.parametrize("old", ["engine", "learner"])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_trl(model: Path, tmp_path: Path, case: str, old: str) -> None:
    ours, theirs = CASES[case]
    learner = step_learner(model, old_logprobs=old, micro_batch_tokens=80, **ours)
    groups = near_policy(learner, random_groups(11), 0.01 if case == "gspo" else 0.4)
    loss, found = gradients(learner, groups)

    learner.model.get_base_model().set_attn_implementation("sdpa")
    trainer = trainer_of(learner, tmp_path, **theirs)
    inputs = trl_inputs(groups, learner.loss.scale_rewards, old)
    engine = inputs.pop("engine")
    if old == "learner":
        # TRL's correction of engine/trainer mismatch, with the weights that its documentation defines.
        trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
        with torch.no_grad():
            ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
            mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
            own, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, ids, mask, inputs["completion_ids"].shape[1]
            )
        inputs["importance_sampling_ratio"] = (own - engine).exp().clamp(max=2.0)
    learner.optimizer.zero_grad(set_to_none=True)
    expected = trainer._compute_loss(trainer.model, inputs)
    expected.backward()

    assert loss == pytest.approx(float(expected), abs=TOLERANCE)
    for name, parameter in trainable(learner.model).items():
        assert float((found[name] - parameter.grad).abs().max()) < TOLERANCE, name
