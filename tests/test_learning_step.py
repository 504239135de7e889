"""One learner step: updates, skips, resume, and that it learns."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning_fixtures import (
    gradients,
    near_policy,
    random_groups,
    random_row,
    randomise_adapter,
    save_tiny_qwen2,
    step_learner,
)
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tac_rl.errors import AdapterError, LearnerError
from tac_rl.learning.base import GradedRollout, Group
from tac_rl.learning.step import StepLearner


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def weights_of(learner: StepLearner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in learner.parameters]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "gspo", "cispo"])
def test_micro_batch_size_and_order_of_rows_do_not_change_gradients(model: Path, loss: str) -> None:
    whole = step_learner(model, loss=loss, micro_batch_tokens=100_000)
    groups = near_policy(whole, random_groups(1), 0.2)
    loss_value, expected = gradients(whole, groups)
    shuffled = [replace(group, rollouts=group.rollouts[::-1]) for group in groups[::-1]]
    for budget in (1, 55, 120):
        learner = step_learner(model, loss=loss, micro_batch_tokens=budget)
        for order in (groups, shuffled):
            value, found = gradients(learner, order)
            assert value == pytest.approx(loss_value, abs=1e-6)
            assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "grpo"},
        {"loss": "dr_grpo", "constant_tokens": 8},
        {"loss": "gspo"},
        {"loss": "cispo"},
        {"loss": "grpo", "epochs": 2, "minibatches": 2},
        {"loss": "grpo", "precision": "bfloat16"},
    ],
    ids=str,
)
def test_a_few_steps_make_the_rewarded_row_more_probable(
    model: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    learner = step_learner(model, learning_rate=5e-3, **settings)
    random_ = random.Random(3)
    rows = [random_row(random_, name, prompt=(7, 8, 9)) for name in ("good", "bad", "ugly")]
    rollouts = [
        GradedRollout(row.rollout_id, reward, (row,))
        for row, reward in zip(rows, (1.0, 0.0, 0.2), strict=True)
    ]
    group = Group("g", "task", tuple(rollouts))

    def probability(row: int) -> float:
        values = learner.score(rows[row].token_ids)
        return sum(value for value, flag in zip(values, rows[row].sampled[1:], strict=True) if flag)

    before = probability(0), probability(1)
    for version in range(1, 5):
        fresh = near_policy(learner, [group], 0.0)
        metrics, skipped = learner.step(fresh, version, tmp_path / str(version))
        assert not skipped
        assert abs(metrics["ratio_mean"] - 1) < 0.5
    assert probability(0) > before[0] + 0.1
    assert probability(1) < before[1]


def test_a_resumed_learner_steps_as_the_one_that_went_on(model: Path, tmp_path: Path) -> None:
    settings = {"epochs": 2, "minibatches": 2, "schedule": "linear", "loss": "cispo"}
    learner = step_learner(model, **settings)
    learner.step(random_groups(1), 1, tmp_path / "1")
    metrics, _ = learner.step(random_groups(2), 2, tmp_path / "2")

    resumed = step_learner(model, **settings)
    randomise_adapter(resumed, seed=77)
    resumed.resume(tmp_path / "1")
    again, _ = resumed.step(random_groups(2), 2, tmp_path / "again")
    assert same(weights_of(learner), weights_of(resumed))
    assert (tmp_path / "2" / "probe.json").read_bytes() == (tmp_path / "again" / "probe.json").read_bytes()
    assert again["loss"] == metrics["loss"]


def test_the_adapter_is_what_peft_loads_and_the_probe_tells_its_logprobs(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model)
    learner.step(random_groups(1), 1, tmp_path / "1")
    base = AutoModelForCausalLM.from_pretrained(model)
    served = PeftModel.from_pretrained(base, tmp_path / "1")
    probe = json.loads((tmp_path / "1" / "probe.json").read_text())
    ids = torch.tensor([probe["token_ids"]])
    with torch.no_grad():
        table = served(input_ids=ids).logits[0].log_softmax(-1)
    expected = table[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
    assert torch.allclose(torch.tensor(probe["logprobs"]), expected, atol=1e-4)


def test_groups_without_variance_leave_the_weights_and_say_so(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model)
    before = weights_of(learner)
    flat = [
        replace(group, rollouts=tuple(replace(rollout, reward=0.7) for rollout in group.rollouts))
        for group in random_groups()
    ]
    metrics, skipped = learner.step(flat, 1, tmp_path / "1")
    assert "no group with variance" in skipped
    assert metrics["zero_variance_share"] == 1.0 and metrics["trained_groups"] == 0.0
    assert math.isnan(metrics["loss"])
    assert same(before, weights_of(learner))
    assert (tmp_path / "1" / "adapter_model.safetensors").is_file()
    metrics, skipped = learner.step(random_groups(), 2, tmp_path / "2")
    assert not skipped and not same(before, weights_of(learner))


@pytest.mark.parametrize("updates", [{}, {"epochs": 2, "minibatches": 2}], ids=str)
def test_a_gradient_that_is_not_finite_leaves_the_weights_and_the_optimiser(
    model: Path, tmp_path: Path, updates: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = step_learner(model, **updates)
    learner.step(random_groups(1), 1, tmp_path / "1")
    before = weights_of(learner)
    honest = StepLearner.accumulate_gradients
    calls = []

    def broken(self: StepLearner, *given: object) -> float:
        value = honest(self, *given)  # type: ignore[arg-type]
        calls.append(value)
        if len(calls) == (3 if updates else 1):
            self.parameters[0].grad[0] = math.inf
        return value

    with monkeypatch.context() as patch:
        patch.setattr(StepLearner, "accumulate_gradients", broken)
        _, skipped = learner.step(random_groups(2), 2, tmp_path / "2")
    assert "not finite" in skipped
    assert same(before, weights_of(learner))

    learner.step(random_groups(3), 3, tmp_path / "3")
    spared = step_learner(model, **updates)
    spared.resume(tmp_path / "1")
    spared.step(random_groups(3), 3, tmp_path / "spared")
    assert same(weights_of(spared), weights_of(learner))


def test_learning_rate_zero_moves_nothing(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model, learning_rate=0.0)
    before = weights_of(learner)
    metrics, skipped = learner.step(random_groups(), 1, tmp_path / "1")
    assert not skipped and metrics["learning_rate"] == 0.0
    assert same(before, weights_of(learner))


def test_metrics_of_an_exact_engine_show_no_mismatch(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model)
    metrics, _ = learner.step(near_policy(learner, random_groups(), 0.0), 1, tmp_path / "1")
    assert metrics["mismatch_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["ratio_mean"] == pytest.approx(1.0, abs=1e-4)
    assert metrics["ratio_max"] == pytest.approx(1.0, abs=1e-3)
    assert metrics["clipped_share"] == 0.0 and metrics["truncated_share"] == 0.0
    assert 0 < metrics["entropy"] < math.log(61)


def test_foreign_tokens_too_long_rows_and_old_versions_are_refused(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model)
    groups = random_groups()

    def with_row(tokens: tuple[int, ...]) -> list[Group]:
        row = replace(
            groups[0].rollouts[0].rows[0],
            token_ids=tokens,
            sampled=(False, *[True] * (len(tokens) - 1)),
            logprobs=(0.0, *[-1.0] * (len(tokens) - 1)),
        )
        changed = (replace(groups[0].rollouts[0], rows=(row,)), *groups[0].rollouts[1:])
        return [replace(groups[0], rollouts=changed)]

    with pytest.raises(LearnerError, match="token id 61"):
        learner.step(with_row((1, 61, 2)), 1, tmp_path / "1")
    with pytest.raises(LearnerError, match="takes 256"):
        learner.step(with_row((1,) * 300), 1, tmp_path / "1")
    learner.step(groups, 1, tmp_path / "1")
    with pytest.raises(LearnerError, match="already at version 1"):
        learner.step(groups, 1, tmp_path / "again")
    with pytest.raises(AdapterError, match="exists already"):
        learner.step(groups, 2, tmp_path / "1")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("adapter_model.safetensors", b"\x00" * 40, "corrupt or missing"),
        ("adapter_model.safetensors", None, "corrupt or missing"),
        ("optimizer.safetensors", b"junk", "corrupt or missing"),
        ("learner.json", b"{", "not JSON"),
        ("learner.json", b"[]", "not a JSON object"),
        ("learner.json", b'{"format": 99}', "format 99"),
        ("learner.json", b'{"format": 1, "version": 1, "base": "other"}', "another base model"),
        ("probe.json", b'{"token_ids": [], "logprobs": []}', "token_ids"),
        ("probe.json", b'{"token_ids": [1, 9999], "logprobs": []}', "outside the vocabulary"),
        ("adapter_config.json", b'{"r": 2}', "r is 2"),
    ],
)
def test_a_corrupt_or_foreign_adapter_is_refused_by_name(
    model: Path, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    step_learner(model).step(random_groups(), 1, tmp_path / "1")
    if content is None:
        (tmp_path / "1" / file).unlink()
    else:
        (tmp_path / "1" / file).write_bytes(content)
    with pytest.raises(AdapterError, match=message):
        step_learner(model).resume(tmp_path / "1")


def test_an_adapter_with_a_number_that_is_not_finite_is_refused(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model)
    with torch.no_grad():
        learner.parameters[0][0, 0] = math.nan
    flat = [replace(random_groups()[0], rollouts=random_groups()[0].rollouts[:1])]
    learner.step(flat, 1, tmp_path / "1")
    with pytest.raises(AdapterError, match="not finite"):
        step_learner(model).resume(tmp_path / "1")


def test_lora_targets_that_the_model_lacks_are_refused(model: Path) -> None:
    with pytest.raises(AdapterError, match=r"learner\.lora\.targets"):
        step_learner(model, lora={"targets": ("no_such_proj",)})
