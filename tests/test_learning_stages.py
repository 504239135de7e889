"""SFT and DPO: what they select, that their losses are TRL's, and stages inside the learner."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from learning_fixtures import (
    VOCABULARY,
    gradients,
    near_policy,
    random_groups,
    random_row,
    randomise_adapter,
    save_tiny_qwen2,
    step_learner,
)
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from tac_rl.config.learner import DpoSection, LearnerSection, SftSection
from tac_rl.errors import AdapterError
from tac_rl.learning.adapters import trainable
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.learning.losses import LOSSES
from tac_rl.learning.reference import Reference
from tac_rl.learning.selection import pairs, select, successes
from tac_rl.learning.stages import Stage, stage_at
from tac_rl.learning.step import LearnerPlan, StepLearner

TOLERANCE = 1e-5
SFT = {"loss": "sft", "sft": {"min_reward": 0.6}}
DPO = {"loss": "dpo", "dpo": {"min_margin": 0.2, "pairs_per_group": 2}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def group_of(*rewards: float, name: str = "g") -> Group:
    row = Row("", (5, 6, 7), (False, True, True), (0.0, -1.0, -0.5), 0)
    rollouts = (
        GradedRollout(f"{name}r{number}", reward, (replace(row, rollout_id=f"{name}r{number}"),))
        for number, reward in enumerate(rewards)
    )
    return Group(name, "task", tuple(rollouts))


# Selection


def ids(rollouts: list[GradedRollout]) -> list[str]:
    return [rollout.rollout_id for rollout in rollouts]


def test_successes_are_the_rollouts_that_reach_the_reward_the_best_first_where_they_are_bounded() -> None:
    group = group_of(0.5, 1.0, 0.9, 1 - 1e-9)
    assert ids(successes(group, SftSection())) == ["gr1", "gr3"]
    assert ids(successes(group, SftSection(min_reward=0.8, per_group=2))) == ["gr1", "gr3"]
    assert ids(successes(group, SftSection(min_reward=0.8, per_group=1))) == ["gr1"]


def test_pairs_go_from_the_ends_inwards_as_long_as_rewards_differ_enough() -> None:
    group = group_of(0.3, 1.0, 0.0, 0.6, 0.35, 0.9)
    named = [(better.rollout_id, worse.rollout_id) for better, worse in pairs(group, DpoSection())]
    assert named == [("gr1", "gr2"), ("gr5", "gr0"), ("gr3", "gr4")]
    assert len(pairs(group, DpoSection(pairs_per_group=2))) == 2
    assert len(pairs(group, DpoSection(min_margin=0.3))) == 2
    assert pairs(group_of(0.5, 0.5, 0.5), DpoSection()) == []


def test_a_group_of_seven_successes_and_a_failure_gives_one_pair() -> None:
    assert len(pairs(group_of(*[1.0] * 7, 0.0), DpoSection())) == 1


def test_pairs_do_not_depend_on_the_order_of_rollouts_also_among_ties() -> None:
    group = group_of(1.0, 1.0, 0.0, 0.0, 1.0, 0.5)
    turned = replace(group, rollouts=group.rollouts[::-1])
    assert pairs(group, DpoSection()) == pairs(turned, DpoSection())


def test_a_rollout_without_a_sampled_token_is_neither_imitated_nor_paired() -> None:
    silent = Row("s", (5, 6), (False, False), (0.0, 0.0), 0)
    group = group_of(1.0, 0.0)
    group = replace(
        group, rollouts=(*group.rollouts, GradedRollout("s", 1.0, (silent,)), GradedRollout("t", 0.0, ()))
    )
    assert ids(successes(group, SftSection())) == ["gr0"]
    assert len(pairs(group, DpoSection())) == 1


def test_groups_that_give_nothing_are_dropped_counted_and_explained() -> None:
    settings = LearnerSection()
    groups = [group_of(1.0, 0.0, name="a"), group_of(0.2, 0.2, name="b")]
    for loss in ("sft", "dpo"):
        kept = select(groups, LOSSES[loss], settings)
        assert [group.group_id for group in kept.groups] == ["a"]
        assert kept.zero_variance_share == 0.5 and not kept.nothing
    assert "reward of at least 1" in select(groups[1:], LOSSES["sft"], settings).nothing
    assert "0.05 apart" in select(groups[1:], LOSSES["dpo"], settings).nothing


# Against TRL


def tokenizer() -> PreTrainedTokenizerFast:
    words = {f"w{number}": number for number in range(VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), pad_token="w0", eos_token="w1"
    )


COMMON: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False, "use_cpu": True, "report_to": []}


def padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    """Rows padded on the right: ids, what is there, and what was sampled."""
    longest = max(len(row.token_ids) for row in rows)
    tensors = {
        name: torch.zeros(len(rows), longest, dtype=torch.int64) for name in ("ids", "there", "sampled")
    }
    for at, row in enumerate(rows):
        tensors["ids"][at, : len(row.token_ids)] = torch.tensor(row.token_ids)
        tensors["there"][at, : len(row.token_ids)] = 1
        tensors["sampled"][at, : len(row.token_ids)] = torch.tensor(row.sampled)
    return tensors


def compare(
    learner: StepLearner, groups: list[Group], expected: torch.Tensor, loss: float, found: dict
) -> None:  # type: ignore[type-arg]
    parameters = trainable(learner.model)
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    assert loss == pytest.approx(float(expected.detach()), abs=TOLERANCE)
    for name, gradient in zip(parameters, theirs, strict=True):
        assert float((found[name] - gradient).abs().max()) < TOLERANCE, name
    assert max(float(gradient.abs().max()) for gradient in theirs) > 1e-3


def test_sft_loss_and_gradients_equal_trl(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model, micro_batch_tokens=60, **SFT)
    groups = random_groups(21)
    loss, found = gradients(learner, groups)

    learner.model.get_base_model().set_attn_implementation("sdpa")
    trainer = SFTTrainer(
        model=learner.model,
        args=SFTConfig(output_dir=str(tmp_path), max_length=None, **COMMON),
        train_dataset=Dataset.from_dict({"text": ["w2 w3"] * 4}),
        processing_class=tokenizer(),
    )
    chosen = [
        r.rows[0] for group in select(groups, learner.loss, learner.settings).groups for r in group.rollouts
    ]
    assert 2 < len(chosen) < 12
    batch = padded(chosen)
    inputs = {
        "input_ids": batch["ids"],
        "attention_mask": batch["there"],
        "labels": batch["ids"].masked_fill(batch["sampled"] == 0, -100),
    }
    compare(learner, groups, trainer.compute_loss(trainer.model, inputs), loss, found)


@pytest.mark.parametrize("reference", ["base", "start"])
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo_loss_and_gradients_equal_trl(model: Path, tmp_path: Path, reference: str, beta: float) -> None:
    dpo = {**DPO["dpo"], "beta": beta, "reference": reference}  # type: ignore[dict-item]
    learner = step_learner(model, micro_batch_tokens=60, loss="dpo", dpo=dpo)
    # The stage began with one adapter, and has moved to another.
    learner.reference = Reference.of(learner.model, reference)
    groups = random_groups(22)
    # TRL keeps a starting adapter under the name "ref", and takes the model without one where that is missing.
    trainer = DPOTrainer(
        model=learner.model,
        args=DPOConfig(output_dir=str(tmp_path), beta=beta, max_length=None, **COMMON),
        train_dataset=Dataset.from_dict({"prompt": ["w2"], "chosen": ["w3"], "rejected": ["w4"]}),
        processing_class=tokenizer(),
    )
    if reference == "base":
        learner.model.delete_adapter("ref")
    randomise_adapter(learner, seed=9)
    loss, found = gradients(learner, groups)

    learner.model.get_base_model().set_attn_implementation("sdpa")
    kept = select(groups, learner.loss, learner.settings)
    rollouts = [rollout for group in kept.groups for rollout in group.rollouts]
    assert len(rollouts) >= 6
    batch = padded([rollout.rows[0] for rollout in (*rollouts[::2], *rollouts[1::2])])
    inputs = {
        "input_ids": batch["ids"],
        "attention_mask": batch["there"],
        "completion_mask": batch["sampled"],
    }
    compare(learner, groups, trainer._compute_loss(trainer.model, inputs, False), loss, found)


# In the learner


@pytest.mark.parametrize("settings", [SFT, DPO], ids=["sft", "dpo"])
def test_micro_batch_size_and_order_of_rows_do_not_change_gradients(
    model: Path, settings: dict[str, Any]
) -> None:
    groups = random_groups(23)
    loss, expected = gradients(step_learner(model, micro_batch_tokens=100_000, **settings), groups)
    turned = [replace(group, rollouts=group.rollouts[::-1]) for group in groups[::-1]]
    for budget in (1, 55):
        learner = step_learner(model, micro_batch_tokens=budget, **settings)
        for order in (groups, turned):
            value, found = gradients(learner, order)
            assert value == pytest.approx(loss, abs=1e-6)
            assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_rollout_in_two_rows_counts_as_one_side_of_its_pair(model: Path) -> None:
    random_ = random.Random(4)
    first, second, other = (random_row(random_, name, prompt=(1, 2, 3)) for name in ("a", "a", "b"))
    group = Group("g", "t", (GradedRollout("a", 1.0, (first, second)), GradedRollout("b", 0.0, (other,))))
    learner = step_learner(model, loss="dpo", dpo={"reference": "base"})
    loss, _ = gradients(learner, [group])

    def log_ratio(row: Row) -> float:
        now = learner.score(row.token_ids)
        with learner.model.disable_adapter():
            before = learner.score(row.token_ids)
        return sum(a - b for a, b, sampled in zip(now, before, row.sampled[1:], strict=True) if sampled)

    margin = log_ratio(first) + log_ratio(second) - log_ratio(other)
    assert loss == pytest.approx(-float(torch.nn.functional.logsigmoid(torch.tensor(0.1 * margin))), abs=1e-5)


@pytest.mark.parametrize(
    "settings", [SFT, DPO, {**DPO, "epochs": 2, "minibatches": 2}], ids=["sft", "dpo", "dpo4"]
)
def test_a_few_steps_move_the_probabilities_as_wanted(
    model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    learner = step_learner(model, learning_rate=5e-3, **settings)
    groups = random_groups(24, groups=2)
    kept = select(groups, learner.loss, learner.settings)
    chosen = [r.rows[0] for group in kept.groups for r in group.rollouts]
    signs = [sign for of_group in kept.advantages for sign in of_group]
    wanted = [row for row, sign in zip(chosen, signs, strict=True) if sign > 0]
    unwanted = [row for row, sign in zip(chosen, signs, strict=True) if sign < 0]

    def probability(rows: list[Row]) -> float:
        return sum(
            v for row in rows for v, s in zip(learner.score(row.token_ids), row.sampled[1:], strict=True) if s
        )

    before = probability(wanted) - probability(unwanted)
    for version in range(1, 4):
        metrics, skipped = learner.step(groups, version, tmp_path / str(version))
        assert not skipped and metrics["clipped_share"] == 0.0 and metrics["truncated_share"] == 0.0
    assert probability(wanted) - probability(unwanted) > before + 0.5
    if settings["loss"] == "dpo":
        assert (
            metrics["pairs"] == len(wanted) and metrics["pair_accuracy"] == 1.0 and metrics["pair_margin"] > 0
        )


STAGES = (
    Stage(1, "sft", 1, 2, LearnerSection.model_validate({**SFT, "learning_rate": 2e-3})),
    Stage(2, "grpo", 3, 4, LearnerSection(schedule="linear", betas=(0.8, 0.9))),
    Stage(3, "dpo", 5, 7, LearnerSection.model_validate({**DPO, "learning_rate": 3e-3})),
)


def staged(model: Path) -> StepLearner:
    process = LearnerSection.model_validate({"precision": "float32", "lora": {"rank": 4, "alpha": 8}})
    return StepLearner(LearnerPlan(model, process, iterations=7, seed=0, stages=STAGES))


def test_the_stage_follows_from_the_iteration() -> None:
    assert [stage_at(STAGES, n).kind for n in range(1, 9)] == ["sft"] * 2 + ["grpo"] * 2 + ["dpo"] * 4


def test_stages_follow_one_another_and_a_resume_at_any_point_steps_as_the_one_that_went_on(
    model: Path, tmp_path: Path
) -> None:
    learner = staged(model)
    losses, rates = {}, {}
    for version in range(1, 8):
        metrics, skipped = learner.step(random_groups(version), version, tmp_path / str(version))
        assert not skipped
        losses[version], rates[version] = metrics["loss"], metrics["learning_rate"]
        assert ("pairs" in metrics) == (version >= 5)
    assert list(rates.values()) == pytest.approx([2e-3, 2e-3, 1e-3, 0.5e-3, 3e-3, 3e-3, 3e-3])
    assert losses[5] == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-6)  # still at its reference
    assert [n for n in range(1, 8) if (tmp_path / str(n) / "reference.safetensors").exists()] == [5, 6, 7]

    for version in (2, 3, 4, 5, 6):  # within a stage, and at both borders
        resumed = staged(model)
        resumed.resume(tmp_path / str(version))
        metrics, _ = resumed.step(random_groups(version + 1), version + 1, tmp_path / f"again{version}")
        assert metrics["loss"] == losses[version + 1]
        for name in ("adapter_model.safetensors", "optimizer.safetensors"):
            ours, theirs = (tmp_path / folder / name for folder in (f"again{version}", str(version + 1)))
            assert ours.read_bytes() == theirs.read_bytes(), (version, name)


def test_the_optimiser_of_a_stage_is_fresh(model: Path, tmp_path: Path) -> None:
    learner = staged(model)
    for version in range(1, 4):
        learner.step(random_groups(version), version, tmp_path / str(version))
    parameter = learner.parameters[0]
    assert float(learner.optimizer.state[parameter]["step"]) == 1.0
    assert learner.optimizer.param_groups[0]["betas"] == (0.8, 0.9)


def test_a_dpo_stage_whose_reference_is_gone_is_refused(model: Path, tmp_path: Path) -> None:
    learner = staged(model)
    for version in range(1, 6):
        learner.step(random_groups(version), version, tmp_path / str(version))
    (tmp_path / "5" / "reference.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"reference\.safetensors: corrupt or missing"):
        staged(model).resume(tmp_path / "5")


def test_sft_needs_no_rollout_to_fail_and_no_old_logprobs(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model, **SFT, epochs=2)
    all_good = [
        replace(g, rollouts=tuple(replace(r, reward=1.0) for r in g.rollouts)) for g in random_groups(25)
    ]
    metrics, skipped = learner.step(near_policy(learner, all_good, 0.0), 1, tmp_path / "1")
    assert not skipped and metrics["trained_rollouts"] == 12.0
