"""What large models and long rows need of the learner: number formats, four bits, less kept in memory."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from learning_fixtures import gradients, near_policy, random_groups, save_tiny_qwen2, step_learner

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import LearnerError
from tac_rl.learning import attention, loading
from tac_rl.learning.process import is_large, worker_environment

HAS_BNB = importlib.util.find_spec("bitsandbytes") is not None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("model"))


def test_scores_of_long_rows_in_parts_give_the_same_loss_and_gradients(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = step_learner(model, micro_batch_tokens=60)
    groups = near_policy(learner, random_groups(4), 0.2)
    loss, whole = gradients(learner, groups)
    parts: list[int] = []
    scored = attention._scored

    def counted(*given: object) -> torch.Tensor:
        parts.append(1)
        return scored(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "_scored", counted)
    monkeypatch.setattr(attention, "SCORES_BYTES", 4 * 4 * 20 * 3)
    monkeypatch.setattr(attention, "MASK_ELEMENTS", 30)
    parts_loss, found = gradients(learner, groups)
    assert parts_loss == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(found[name], whole[name], atol=1e-6) for name in whole)
    assert len(parts) > 100


def test_checkpointing_by_itself_is_on_where_a_step_would_not_fit(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not step_learner(model).checkpointing
    monkeypatch.setattr(loading, "free_memory", lambda device: 1 << 20)
    learner = step_learner(model)
    assert learner.checkpointing
    monkeypatch.undo()
    groups = near_policy(learner, random_groups(8), 0.2)
    loss, found = gradients(learner, groups)
    plain = step_learner(model, gradient_checkpointing=False)
    expected_loss, expected = gradients(plain, groups)
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_base_in_bfloat16_steps_and_tells_its_logprobs(model: Path, tmp_path: Path) -> None:
    """As on a GPU: 16-bit base, float32 adapter, products in bfloat16."""
    exact = step_learner(model)
    learner = step_learner(model, precision="bfloat16", base_weights="bfloat16")
    assert next(learner.model.get_base_model().parameters()).dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in learner.parameters)
    groups = near_policy(exact, random_groups(2), 0.0)
    _, reference = gradients(exact, groups)
    _, found = gradients(learner, groups)
    assert cosine(found, reference) > 0.97
    metrics, skipped = learner.step(groups, 1, tmp_path / "1")
    assert not skipped and metrics["mismatch_kl"] < 0.05
    probe = json.loads((tmp_path / "1" / "probe.json").read_text())
    assert len(probe["logprobs"]) == len(probe["token_ids"]) - 1
    again = step_learner(model, precision="bfloat16", base_weights="bfloat16")
    again.resume(tmp_path / "1")
    assert again.version == 1


def cosine(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    flat = [torch.cat([side[name].flatten() for name in sorted(right)]) for side in (left, right)]
    return float(torch.nn.functional.cosine_similarity(*flat, dim=0))


@pytest.mark.skipif(not HAS_BNB, reason="bitsandbytes is not installed (./setup.sh --dev)")
def test_a_base_in_four_bits_trains_and_its_adapter_goes_on(model: Path, tmp_path: Path) -> None:
    learner = step_learner(model, precision="bfloat16", base_weights="nf4", learning_rate=5e-3)
    layer = learner.model.get_base_model().model.layers[0].mlp.up_proj
    assert layer.base_layer.weight.dtype == torch.uint8
    assert learner.policy.output_layer.weight.dtype == torch.bfloat16
    groups = near_policy(learner, random_groups(2), 0.0)
    before = [parameter.detach().clone() for parameter in learner.parameters]
    metrics, skipped = learner.step(groups, 1, tmp_path / "1")
    assert not skipped and metrics["grad_norm"] > 0
    assert not all(torch.equal(a, b) for a, b in zip(before, learner.parameters, strict=True))
    again = step_learner(model, precision="bfloat16", base_weights="nf4", learning_rate=5e-3)
    again.resume(tmp_path / "1")
    assert again.score(groups[0].rollouts[0].rows[0].token_ids) == pytest.approx(
        learner.score(groups[0].rollouts[0].rows[0].token_ids), abs=1e-6
    )


@pytest.mark.skipif(not HAS_BNB, reason="bitsandbytes is not installed (./setup.sh --dev)")
def test_four_bits_and_checkpointing_give_the_same_gradients_as_four_bits(model: Path) -> None:
    plain = step_learner(model, precision="bfloat16", base_weights="nf4", gradient_checkpointing=False)
    groups = near_policy(plain, random_groups(8), 0.2)
    loss, expected = gradients(plain, groups)
    saving = step_learner(model, precision="bfloat16", base_weights="nf4", gradient_checkpointing=True)
    found_loss, found = gradients(saving, groups)
    assert found_loss == pytest.approx(loss, abs=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_four_bits_without_bitsandbytes_say_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LearnerError, match=r"bitsandbytes is not installed: pip install 'tac-rl\[qlora\]'"):
        step_learner(model, precision="bfloat16", base_weights="nf4")


def test_sixteen_bit_weights_with_float32_products_are_refused(model: Path) -> None:
    with pytest.raises(LearnerError, match=r"learner\.base_weights is bfloat16.*set learner\.precision: bfloat16"):
        step_learner(model, precision="float32", base_weights="bfloat16")


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LearnerError, match=rf"learner\.device is {kind}, but torch finds none"):
        loading.choose_device(kind)
    assert loading.choose_device("auto").type == "cpu"


def test_devices_are_preferred_in_the_order_that_the_config_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.choose_device("auto").type == "cuda"
    assert loading.choose_device("cpu").type == "cpu"


def test_only_large_models_pay_for_tidy_memory(tmp_path: Path, model: Path) -> None:
    assert not is_large(model)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(200 << 20)
    assert is_large(tmp_path)
    assert "MALLOC_MMAP_THRESHOLD_" in worker_environment(1, large_model=True)
    assert "MALLOC_MMAP_THRESHOLD_" not in worker_environment(1)


def test_the_config_takes_auto_and_plain_booleans() -> None:
    assert LearnerSection().gradient_checkpointing == "auto"
    assert LearnerSection.model_validate({"gradient_checkpointing": True}).gradient_checkpointing is True
    assert LearnerSection.model_validate({"gradient_checkpointing": "auto"}).gradient_checkpointing == "auto"
