"""`learner: art` in a config: its own values, what ART can't do, and what ART is told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tac_rl.config.loading import load_config, parse_config
from tac_rl.config.run import RunConfig
from tac_rl.errors import ConfigError
from tac_rl.learning.art_settings import as_options, model_config, row_length, server_config, train_arguments
from tac_rl.learning.step import resolved_loss
from tac_rl.memory_plan.placement import place
from tac_rl.memory_plan.plan import make_plan
from tac_rl.memory_plan.shape import read_shape
from tac_rl.serving.art_runtime import flags
from tac_rl.serving.card import Card, pretended_card
from tac_rl.validation import checks
from tac_rl.validation.lines import Verdict

SHIPPED = Path("configs/qwen_2_5_7b_art.yaml")


def parsed(learner: Any = "art", **more: Any) -> RunConfig:
    return parse_config(RunConfig, {"engine": {"time_sharing": "on"}, "learner": learner, **more}, "a.yaml")


def test_one_word_takes_art_s_own_values_and_a_resolved_config_reads_back_the_same() -> None:
    config = parsed()
    settings = config.learner
    assert (settings.kind, settings.loss, settings.learning_rate, settings.old_logprobs) == (
        *("art", "cispo"),
        *(5e-6, "engine"),
    )
    assert (settings.weight_decay, settings.max_grad_norm, settings.betas) == (0.1, 0.1, (0.9, 0.99))
    assert settings.base_weights == "nf4"
    assert parsed({"kind": "art", "learning_rate": 1e-5}).learner.learning_rate == 1e-5
    assert parse_config(RunConfig, config.model_dump(mode="json"), "b.yaml") == config
    assert parse_config(RunConfig, {}, "c.yaml").learner.weight_decay == 0.0  # of our own learner


@pytest.mark.parametrize(
    ("learner", "more", "said"),
    [
        ({"loss": "dpo"}, {}, "learner.loss: dpo is not ART's; take grpo"),
        ({"weight_decay": 0.0}, {}, "learner.weight_decay: ART always takes 0.1"),
        ({"minibatches": 2}, {}, "learner.minibatches: ART makes one update for each row"),
        ({"entropy_coefficient": 0.01}, {}, "learner.entropy_coefficient: ART has no such term"),
        ({"precision": "float32"}, {}, "learner.precision: ART computes in 16 bits"),
        ({"base_weights": "float32"}, {}, "learner.base_weights"),
        ({"device": "cpu"}, {}, "learner.device: ART's trainer needs a CUDA GPU"),
        ({"own_cores": 1}, {}, "learner.own_cores: ART's trainer steps on a GPU"),
        ({"art": {"packed_length": 1500}}, {}, "learner.art.packed_length: must be a multiple of"),
        ({}, {"engine": {}}, 'engine.time_sharing: .* set it to "on"'),
        ({"art": {"trainer_gpus": [0], "inference_gpus": [1]}}, {}, 'time_sharing: .* set it to "off"'),
        ({}, {"engine": {"time_sharing": "on", "kind": "transformers"}}, "engine.kind: ART serves with vLLM"),
        (
            {},
            {"engine": {"time_sharing": "on", "vllm": {"url": "http://x:1"}}},
            "engine.vllm.url: ART starts a",
        ),
        ({}, {"rollouts": {"temperature": 0.8}}, "rollouts.temperature: .* at temperature 1"),
        ({}, {"rollouts": {"max_staleness": 1}}, "rollouts.max_staleness: no rollout can go on"),
        ({}, {"stages": [{"kind": "sft", "iterations": 1}]}, "stages: stage 1 is sft, which is not ART's"),
        (
            {},
            {"stages": [{"kind": "grpo", "iterations": 1, "learner": {"max_grad_norm": 2}}]},
            "stage 1 changes max_grad_norm",
        ),
    ],
)
def test_what_art_can_not_do_is_one_error_with_field_and_fix(
    learner: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parsed({"kind": "art", **learner}, **more)
    assert "or learner.kind: own" in str(caught.value)
    parsed({**learner, "kind": "own", "art": {}}, **more)  # all of it is fine with our own


def test_the_art_section_refuses_what_is_told_elsewhere_and_gpus_that_art_does_not_take() -> None:
    for art, said in (
        ({"trainer_args": {"learning_rate": 1}}, "trainer_args.learning_rate: set learner.learning_rate"),
        ({"trainer_gpus": [1], "inference_gpus": [0]}, "from 0 on"),
        ({"trainer_gpus": [0]}, "name both"),
        ({"trainer_gpus": [0], "inference_gpus": [0]}, "none of trainer_gpus"),
        ({"logprob_chunk": 100}, "divisor of 1024"),
    ):
        with pytest.raises(ConfigError, match=said):
            parsed({"kind": "art", "art": art})


def test_settings_become_art_s() -> None:
    learner = {"kind": "art", "loss": "gspo", "lora": {"rank": 8, "alpha": 16}, "old_logprobs": "learner"}
    learner |= {"art": {"trainer_args": {"warmup_steps": 2}, "packed_length": 4096}, "kl_coefficient": 0.02}
    settings = parsed(learner).learner
    told = model_config(settings, model_path=Path("/m"), context=3000, seed=7, folder=Path("/f"))
    assert told["init_args"] == {"model_name": "/m", "max_seq_length": 4096, "load_in_4bit": True}
    assert told["peft_args"]["r"] == 8 and told["peft_args"]["lora_alpha"] == 16
    assert (
        told["peft_args"]["target_modules"][0] == "q_proj" and len(told["peft_args"]["target_modules"]) == 7
    )
    trainer = told["trainer_args"]
    assert (trainer["adam_beta2"], trainer["warmup_steps"], trainer["max_grad_norm"]) == (0.99, 2, 0.1)
    assert "trainer_gpu_ids" not in told and told["engine_args"] == {"enable_sleep_mode": True}
    assert train_arguments(settings, resolved_loss(settings), rate=1e-6) == {
        "learning_rate": 1e-6,
        "loss_fn": "ppo",
        "epsilon": 3e-4,
        "epsilon_high": 4e-4,
        "importance_sampling_level": "sequence",
        "kl_penalty_coef": 0.02,
        "precalculate_logprobs": True,
        "truncated_importance_sampling": 2.0,
        "logprob_calculation_chunk_size": 1024,
    }
    assert (row_length(1, 1024), row_length(2048, 1024), row_length(2049, 1024)) == (2048, 2048, 4096)


def test_the_server_is_told_what_a_server_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    vllm = {"extra_args": ["--quantization", "fp8", "--block-size=32"], "python": sys.executable}
    config = parsed(engine={"time_sharing": "on", "dtype": "bfloat16", "vllm": vllm})
    told = server_config(config.engine, model_path=tmp_path, port=123, context=4096, gpu=True)["server_args"]
    # The names of the base and of a server without a tokenizer are in place of ART's.
    assert told["served_model_name"] == "base" and told["skip_tokenizer_init"] is True
    assert told["enable_auto_tool_choice"] is False and told["tool_call_parser"] is None
    assert (told["quantization"], told["block_size"], told["port"]) == ("fp8", "32", 123)
    said = flags(told)
    assert "--enable-sleep-mode" in said and "--quantization=fp8" in said
    assert not any("tool" in flag for flag in said)
    assert as_options(["--a", "--b", "1", "--c=2"]) == {"a": True, "b": "1", "c": "2"}


def test_the_shipped_config_is_right_and_fits_its_card() -> None:
    config = load_config(RunConfig, SHIPPED)
    assert config.learner.kind == "art" and config.learner.art.shared


def test_the_validation_says_what_of_art_is_missing_and_asks_for_no_vllm_of_ours() -> None:
    config = load_config(RunConfig, SHIPPED)
    line = checks._art_line(config)
    assert line.verdict is Verdict.FAIL and "needs unsloth" in line.found
    assert "art-local" in line.fix and "learner.kind: own" in line.fix
    shape, machine = read_shape(config.model), Card("cpu", 128 << 30, "the CPU", bfloat16=True)
    plan = make_plan(config, shape, "vllm", [pretended_card(80)], place(config, "vllm", 1), cpu=machine)
    assert "vllm" not in checks._needs(config, plan)
