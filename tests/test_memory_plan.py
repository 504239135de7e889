"""The memory plan: arithmetic over config.json, what doesn't fit and what to change, and models that are not whole."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from learning_fixtures import save_tiny_qwen2

from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError
from tac_rl.memory_plan.card import Card
from tac_rl.memory_plan.learner import LearnerLoad, learner_memory, weight_bytes
from tac_rl.memory_plan.placement import place
from tac_rl.memory_plan.plan import MemoryPlan, make_plan
from tac_rl.memory_plan.shape import GIB, KNOWN, known_shape, read_shape, shape_of
from tac_rl.memory_plan.table import plan_lines
from tac_rl.serving.card import pretended_card
from tac_rl.serving.model_check import check_model_folder, model_problems

CONFIGS = {
    "qwen_2_5_7b_local": (24,),
    "qwen_2_5_7b_80gb": (80,),
    "qwen_2_5_7b_two_gpus": (24, 24),
    "qwen_2_5_1_5b_16gb": (16,),
    "qwen_2_5_7b_art": (80,),
}
LAPTOP = Card("cpu", 16 * GIB, "a laptop")
SERVER = Card("cpu", 128 * GIB, "a server")
PUBLISHED = {"qwen2.5-0.5b": 494_032_768, "qwen2.5-1.5b": 1_543_714_304, "qwen2.5-7b": 7_615_616_512}
SEVEN = KNOWN["qwen2.5-7b"]


def planned(name: str, gigabytes: float | tuple[float, ...], *overrides: str, cpu: Card = SERVER) -> MemoryPlan:
    config = load_config(RunConfig, Path(f"configs/{name}.yaml"), overrides)
    sizes = gigabytes if isinstance(gigabytes, tuple) else (gigabytes,)
    cards = [pretended_card(size) for size in sizes]
    return make_plan(config, read_shape(config.model), "vllm", cards, place(config, "vllm", len(cards)), cpu=cpu)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_known_shapes_have_as_many_parameters_as_the_published_models(name: str, parameters: int) -> None:
    assert KNOWN[name].parameters == parameters


def test_a_shape_counts_what_transformers_counts(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    shape = read_shape(save_tiny_qwen2(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_lora_counts_what_peft_makes(tmp_path: Path) -> None:
    from learning_fixtures import step_learner

    model = save_tiny_qwen2(tmp_path)
    learner = step_learner(model)
    expected = sum(parameter.numel() for parameter in learner.parameters)
    assert read_shape(model).lora_parameters(4, "all-linear") == expected


@pytest.mark.parametrize(("name", "gigabytes"), CONFIGS.items())
def test_the_shipped_gpu_configs_fit_the_cards_that_they_are_for_without_the_model(
    name: str, gigabytes: tuple[float, ...]
) -> None:
    plan = planned(name, gigabytes)
    assert plan.fits, plan.advice
    assert plan.load.checkpointing


def test_the_laptop_config_fits_16_gb_of_memory() -> None:
    config = load_config(RunConfig, Path("configs/qwen_2_5_0_5b.yaml"))
    placement = place(config, "transformers", 0)
    plan = make_plan(config, read_shape(config.model), "transformers", [LAPTOP], placement, cpu=LAPTOP)
    assert plan.fits, plan.advice


def test_on_one_card_engine_and_learner_take_turns_and_each_sleeps_in_the_machine_s_memory() -> None:
    plan = planned("qwen_2_5_7b_local", 24)
    assert plan.turns and plan.shared and plan.fits
    assert plan.rollouts - plan.engine.total == plan.learner.runtime < GIB  # nothing but CUDA's context
    assert plan.step - plan.learner.total < 2 * GIB
    asleep = plan.engine.asleep_on_host + plan.learner.weights + plan.learner.lora + plan.learner.optimiser
    assert asleep < plan.host < asleep + 10 * GIB
    apart = planned("qwen_2_5_7b_local", 24, "engine.time_sharing='off'")
    assert not apart.fits and any("time_sharing" in line for line in apart.advice)
    assert apart.rollouts - apart.engine.total > apart.learner.weights


def test_blocks_in_the_machine_s_memory_are_rounded_up_as_torch_does() -> None:
    """The merged gate and up projection in eight bits: 129.5 MiB, in a pinned block of 256."""
    engine = planned("qwen_2_5_7b_local", 24).engine
    weights, asleep = engine.weights, engine.asleep_on_host
    assert 1.5 * weights < asleep <= 2 * weights
    layer = 256 + 128 + 16 + 16  # gate and up, down (64.75), q, k and v (15.75), o (12.25): MiB
    assert asleep == (28 * layer + 2 * 2048) << 20


def test_a_machine_with_too_little_memory_of_its_own_is_told_what_sleeps_in_it() -> None:
    plan = planned("qwen_2_5_7b_local", 24, cpu=LAPTOP)
    assert not plan.fits and plan.rollouts <= plan.usable and plan.step <= plan.usable
    told = next(line for line in plan.advice if "own memory" in line)
    assert "asleep the engine takes" in told and "a GPU each" in told


def test_with_two_cards_each_has_its_own_and_nothing_sleeps() -> None:
    plan = planned("qwen_2_5_7b_two_gpus", (24, 48))
    assert plan.fits and not plan.turns and not plan.shared
    assert (plan.card.bytes, plan.learner_card.bytes) == (24 * GIB, 48 * GIB)
    assert (plan.rollouts, plan.step) == (plan.engine.total, plan.learner.total)
    shown = "\n".join(plan_lines(plan))
    assert "and the learner on a card of 48 GB" in shown and "on cuda:0" in shown and "on cuda:1" in shown
    crowded = planned("qwen_2_5_7b_two_gpus", (24, 16))
    assert not crowded.fits and any("nf4" in line for line in crowded.advice)
    assert not any("time_sharing" in line or "gpu_memory_utilization" in line for line in crowded.advice)


def test_a_model_split_over_two_cards_takes_half_of_each() -> None:
    whole = planned("qwen_2_5_7b_80gb", (80, 80))
    split = planned("qwen_2_5_7b_80gb", (80, 80), "engine.vllm.gpus=[0, 1]")
    assert split.engine.weights == whole.engine.weights // 2
    assert split.engine.kv_cache_wanted == pytest.approx(whole.engine.kv_cache_wanted / 2, rel=1e-6)
    assert not whole.shared and split.shared  # the learner has no card left


def test_art_s_trainer_moves_away_while_rollouts_run_and_keeps_all_logits_of_a_row() -> None:
    plan = planned("qwen_2_5_7b_art", 80)
    assert plan.turns and plan.rollouts == plan.engine.total + plan.learner.runtime
    assert plan.load.tokens == plan.context == 16_384
    assert plan.learner.logits == 8 * 16_384 * SEVEN.vocabulary > 10 * planned("qwen_2_5_7b_80gb", 80).learner.logits
    assert plan.learner.mask == 3 * 16_384**2
    gpus = "learner.art={trainer_gpus: [0], inference_gpus: [1]}"
    assert not planned("qwen_2_5_7b_art", (80, 80), gpus, "engine.time_sharing='off'").turns


def test_what_does_not_fit_says_what_to_change() -> None:
    plan = planned("qwen_2_5_7b_80gb", 24)
    assert not plan.fits
    text = "\n".join(plan.advice)
    assert "gpu_memory_utilization" in text and "nf4" in text and "quantization" not in text.split("nf4")[1]
    assert "DOES NOT FIT" in "\n".join(plan_lines(plan))
    assert planned("qwen_2_5_7b_local", 16).fits is False


def test_an_engine_that_can_not_hold_its_weights_is_told_to_quantise_them() -> None:
    plan = planned("qwen_2_5_7b_80gb", 12)
    assert any("--quantization" in line for line in plan.advice)


def test_four_bits_take_what_was_published_for_this_model() -> None:
    assert weight_bytes(SEVEN, "bfloat16") == pytest.approx(15.2e9, rel=0.01)
    assert weight_bytes(SEVEN, "nf4") == pytest.approx(5.5e9, rel=0.03)


def load(**changes: object) -> LearnerLoad:
    given: dict[str, object] = {
        "tokens": 16_384,
        "sampled": 8192,
        "row": 16_384,
        "rank": 16,
        "targets": "all-linear",
        "weights": "bfloat16",
        "autocast": True,
        "checkpointing": True,
        "device": "cuda",
    }
    return LearnerLoad(**(given | changes))  # type: ignore[arg-type]


def test_16k_tokens_take_gigabytes_with_checkpointing_and_a_hundred_without() -> None:
    assert learner_memory(SEVEN, load()).activations < 10 * GIB
    assert learner_memory(SEVEN, load(checkpointing=False)).activations > 80 * GIB


def test_logits_stop_growing_where_they_are_computed_in_chunks() -> None:
    assert learner_memory(SEVEN, load()).logits == learner_memory(SEVEN, load(sampled=16_000)).logits == 1.25 * GIB


def test_the_plan_of_another_architecture_names_the_missing_field() -> None:
    with pytest.raises(ConfigError, match=r"there: intermediate_size is None"):
        shape_of({"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 9}, "there")


def test_models_are_known_by_the_names_of_their_folders() -> None:
    assert known_shape("Qwen2.5-7B-Instruct") == known_shape("Qwen/Qwen2.5-7B") == SEVEN
    assert known_shape("Qwen2.5-72B-Instruct") is None
    with pytest.raises(ConfigError, match="not named after a model whose shape is known"):
        read_shape(Path("nowhere/some-model"))


def whole_model(folder: Path) -> Path:
    save_tiny_qwen2(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_a_whole_model_has_no_problems(tmp_path: Path) -> None:
    assert model_problems(whole_model(tmp_path)) == []
    assert model_problems(Path("tac_rl/policies/tiny")) == []


def test_a_missing_model_names_the_path_and_the_command_that_downloads_it() -> None:
    with pytest.raises(ConfigError) as caught:
        check_model_folder(Path("models/Qwen2.5-7B-Instruct"))
    assert "models/Qwen2.5-7B-Instruct is missing" in str(caught.value)
    assert "hf download Qwen/Qwen2.5-7B-Instruct --local-dir models/Qwen2.5-7B-Instruct" in str(caught.value)


def test_half_downloaded_models_are_told_by_file(tmp_path: Path) -> None:
    model = whole_model(tmp_path / "m")
    weights = model / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(size - 100)
    assert f"model.safetensors has {size - 100} of {size} bytes" in model_problems(model)[0]
    weights.unlink()
    assert "model.safetensors is missing" in model_problems(model)[0]
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert "Git LFS pointer" in model_problems(model)[0]
    weights.write_bytes(b"<html>not found</html>")
    assert "no safetensors file" in model_problems(model)[0]
    weights.write_bytes(struct.pack("<Q", 2) + b"{}")
    shards = {f"w{n}": f"model-0000{n}-of-00007.safetensors" for n in range(1, 8)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "model-00001-of-00007.safetensors is missing" in model_problems(model)[0]
    assert "and 3 more" in model_problems(model)[0]
    (model / "config.json").unlink()
    assert "config.json is missing" in model_problems(model)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "no causal language model"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised already"),
        ({"intermediate_size": None}, "intermediate_size"),
    ],
)
def test_a_model_of_the_wrong_architecture_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    model = whole_model(tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ConfigError, match=message):
        check_model_folder(model)


def test_a_dry_run_shows_the_plan_before_the_model_is_downloaded() -> None:
    options = ["--config", "configs/qwen_2_5_7b_local.yaml", "--dry-run", "--vram", "24"]
    command = [sys.executable, "tac_rl/train.py", *options]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert shown.returncode == 2
    assert "Memory plan: 7.62B parameters on a card of 24 GB" in shown.stdout
    assert "fits" in shown.stdout
    assert "hf download" in shown.stderr and "Traceback" not in shown.stderr
