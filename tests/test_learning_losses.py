"""Losses and gradients against a float64 reference written token by token from the papers' formulas."""

import math
import statistics
from pathlib import Path

import pytest
import torch
from learning_fixtures import gradients, near_policy, random_groups, save_tiny_qwen2, step_learner

from tac_rl.learning import attention
from tac_rl.learning.adapters import trainable
from tac_rl.learning.base import Group
from tac_rl.learning.step import StepLearner

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def naive_loss(
    learner: StepLearner, groups: list[Group], kl: float = 0.0, bonus: float = 0.0
) -> torch.Tensor:
    """The whole step's loss, one row at a time through the complete model, one token at a time after it."""
    settings = learner.settings
    name = settings.loss
    low, high = {"grpo": (0.8, 1.28), "dr_grpo": (0.8, 1.2), "gspo": (1 - 3e-4, 1 + 4e-4), "cispo": (0, 5)}[
        name
    ]
    rollouts = []
    entropies = []
    for group in groups:
        rewards = [rollout.reward for rollout in group.rollouts]
        if max(rewards) == min(rewards):
            continue
        for rollout in group.rollouts:
            advantage = rollout.reward - statistics.fmean(rewards)
            if name != "dr_grpo":
                advantage /= statistics.stdev(rewards)
            losses = []
            for row in rollout.rows:
                ids = torch.tensor([row.token_ids])
                table = learner.model(input_ids=ids).logits[0].log_softmax(-1)
                with torch.no_grad(), learner.model.disable_adapter():
                    base_table = learner.model(input_ids=ids).logits[0].log_softmax(-1)
                places = [place for place, flag in enumerate(row.sampled) if flag]
                new = [table[place - 1, row.token_ids[place]] for place in places]
                base = [base_table[place - 1, row.token_ids[place]] for place in places]
                engine = [row.logprobs[place] for place in places]
                entropies += [-(table[place - 1].exp() * table[place - 1]).sum() for place in places]
                from_engine = settings.old_logprobs == "engine"
                old = engine if from_engine else [float(value.detach()) for value in new]
                ratios = [torch.exp(a - b) for a, b in zip(new, old, strict=True)]
                if name == "gspo":
                    pairs = zip(new, old, strict=True)
                    ratios = [torch.exp(sum(a - b for a, b in pairs) / len(new))] * len(new)
                for token, ratio in enumerate(ratios):
                    if name == "cispo":
                        weight = min(max(float(ratio.detach()), low), high)
                        loss = -weight * advantage * new[token]
                    else:
                        bounded = min(max(ratio, torch.tensor(low)), torch.tensor(high))
                        loss = -min(ratio * advantage, bounded * advantage)
                    if not from_engine and settings.truncate_importance_at:
                        weight = math.exp(old[token] - engine[token])
                        loss = loss * min(weight, settings.truncate_importance_at)
                    difference = base[token] - new[token]
                    losses.append(loss + kl * (torch.exp(difference) - 1 - difference))
            rollouts.append(losses)
    tokens = sum(len(losses) for losses in rollouts)
    kind = settings.normalisation or {"dr_grpo": "constant", "gspo": "rollouts"}.get(name, "tokens")
    if kind == "tokens":
        loss = sum(sum(losses) for losses in rollouts) / tokens
    elif kind == "constant":
        loss = sum(sum(losses) for losses in rollouts) / (len(rollouts) * settings.constant_tokens)
    else:
        loss = sum(sum(losses) / len(losses) for losses in rollouts) / len(rollouts)
    return loss - bonus * sum(entropies) / tokens


def compare(learner: StepLearner, groups: list[Group], kl: float = 0.0, bonus: float = 0.0) -> None:
    learner.model.double()
    loss, ours = gradients(learner, groups)
    learner.model.get_base_model().set_attn_implementation("eager")
    expected = naive_loss(learner, groups, kl, bonus)
    parameters = trainable(learner.model)
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    assert loss == pytest.approx(float(expected), abs=TOLERANCE)
    for name, gradient in zip(parameters, theirs, strict=True):
        assert float((ours[name] - gradient).abs().max()) < TOLERANCE, name
    assert max(float(gradient.abs().max()) for gradient in theirs) > 1e-4


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "gspo", "cispo"])
@pytest.mark.parametrize("old", ["learner", "engine"])
def test_loss_and_gradients_equal_the_naive_reference(model: Path, loss: str, old: str) -> None:
    learner = step_learner(model, loss=loss, old_logprobs=old, micro_batch_tokens=70)
    noise = 0.01 if loss == "gspo" else 0.4
    compare(learner, near_policy(learner, random_groups(), noise))


@pytest.mark.parametrize("normalisation", ["tokens", "rollouts", "constant"])
def test_normalisation_equals_the_naive_reference(model: Path, normalisation: str) -> None:
    learner = step_learner(model, normalisation=normalisation, old_logprobs="engine", micro_batch_tokens=50)
    compare(learner, near_policy(learner, random_groups(3), 0.3))


def test_kl_to_the_base_and_entropy_bonus_equal_the_naive_reference(model: Path) -> None:
    learner = step_learner(model, kl_coefficient=0.1, entropy_coefficient=0.05, micro_batch_tokens=60)
    compare(learner, near_policy(learner, random_groups(4), 0.3), kl=0.1, bonus=0.05)


def test_far_off_policy_tokens_are_clipped_and_stay_finite(model: Path) -> None:
    learner = step_learner(model, old_logprobs="engine")
    loss, found = gradients(learner, near_policy(learner, random_groups(6), 60.0))
    assert math.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


def test_logits_in_chunks_give_the_same_gradients(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = step_learner(model, entropy_coefficient=0.1)
    groups = near_policy(learner, random_groups(7), 0.2)
    loss, whole = gradients(learner, groups)
    monkeypatch.setattr("tac_rl.learning.forward.LOGITS_BYTES", 4 * 61 * 5)
    chunked_loss, chunked = gradients(learner, groups)
    assert chunked_loss == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(chunked[name], whole[name], atol=1e-6) for name in whole)


def test_gradient_checkpointing_gives_the_same_gradients(model: Path) -> None:
    plain = step_learner(model, kl_coefficient=0.1)
    groups = near_policy(plain, random_groups(8), 0.2)
    _, expected = gradients(plain, groups)
    _, found = gradients(step_learner(model, kl_coefficient=0.1, gradient_checkpointing=True), groups)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_the_fused_kernel_gives_the_same_gradients(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = step_learner(model, micro_batch_tokens=60)
    groups = near_policy(learner, random_groups(9), 0.2)
    _, expected = gradients(learner, groups)
    monkeypatch.setattr("tac_rl.learning.attention._products", attention._fused)
    _, found = gradients(learner, groups)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)
