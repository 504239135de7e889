"""A run's settings in ART's words: its model config, the arguments of its `train`, and those of its server.

| ours | ART 0.5.18 |
|---|---|
| `loss: cispo` | `loss_fn: cispo` |
| `loss: grpo`, `dr_grpo`, `gspo` | `loss_fn: ppo`, the last with `importance_sampling_level: sequence` |
| `clip_low`, `clip_high` | `epsilon`, `epsilon_high` |
| `old_logprobs: learner`, `truncate_importance_at` | `precalculate_logprobs`, `truncated_importance_sampling` |
| `kl_coefficient` | `kl_penalty_coef`, which there is taken off the advantages |
| `lora`, `base_weights: nf4`, `betas`, `max_grad_norm` | `peft_args`, `load_in_4bit`, `trainer_args` |

Advantages and weights of tokens are ours (`art_rows.py`). Nothing here imports ART.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tac_rl.config.engine import EngineSection
from tac_rl.config.learner import LearnerSection
from tac_rl.learning.losses.base import Loss
from tac_rl.serving.vllm_server import HOST, server_arguments

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What Unsloth trains of a dense model, and what `lora.targets: all-linear` is there."""
LOSS_FN = {"grpo": "ppo", "dr_grpo": "ppo", "gspo": "ppo", "cispo": "cispo"}


def row_length(longest: int, chunk: int) -> int:
    """Tokens that a step's rows are filled up to: two chunks or a multiple of that, as in ART."""
    return -(-longest // (2 * chunk)) * 2 * chunk


def model_config(
    settings: LearnerSection, *, model_path: Path, context: int, seed: int, folder: Path
) -> dict[str, Any]:
    """ART's `InternalModelConfig`.

    ART's own `get_model_config`, which would fill it up, needs Megatron to be imported, and its extra `backend`
    doesn't bring that. So this holds everything that it would.
    """
    art, lora = settings.art, settings.lora
    targets = ALL_LINEAR if isinstance(lora.targets, str) else lora.targets
    checkpointing = settings.gradient_checkpointing is not False
    config: dict[str, Any] = {
        "rollout_weights_mode": "lora",
        "init_args": {
            "model_name": str(model_path),
            "max_seq_length": art.packed_length or row_length(context, art.logprob_chunk),
            "load_in_4bit": settings.base_weights == "nf4",
            **art.init_args,
        },
        "peft_args": {
            "r": lora.rank,
            "lora_alpha": int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha,
            "target_modules": list(targets),
            "random_state": seed,
            "use_gradient_checkpointing": "unsloth" if checkpointing else False,
            **art.peft_args,
        },
        "trainer_args": {
            "adam_beta1": settings.betas[0],
            "adam_beta2": settings.betas[1],
            "disable_tqdm": True,
            # ART waits for a log entry after every row: one row an update, every update logged.
            "gradient_accumulation_steps": 1,
            "logging_steps": 1,
            "gradient_checkpointing": checkpointing,
            "learning_rate": settings.learning_rate,
            "lr_scheduler_type": "constant",
            "max_grad_norm": settings.max_grad_norm,
            "num_generations": 2,
            "optim": art.optimizer,
            "output_dir": str(folder),
            "per_device_train_batch_size": 2,
            "report_to": "none",
            "save_strategy": "no",
            "weight_decay": settings.weight_decay,
            **art.trainer_args,
        },
        "engine_args": {"enable_sleep_mode": art.shared},
        "tinker_args": None,
    }
    if not art.shared:
        config |= {"trainer_gpu_ids": list(art.trainer_gpus), "inference_gpu_ids": list(art.inference_gpus)}
    return config


def train_arguments(settings: LearnerSection, loss: Loss, *, rate: float) -> dict[str, Any]:
    """Of ART's `LocalBackend.train`. `loss`: with the config's overrides; `rate`: this step's learning rate."""
    own = settings.old_logprobs == "learner"
    return {
        "learning_rate": rate,
        "loss_fn": LOSS_FN[loss.name],
        "epsilon": loss.clip_low,
        "epsilon_high": loss.clip_high,
        "importance_sampling_level": "sequence" if loss.name == "gspo" else "token",
        "kl_penalty_coef": settings.kl_coefficient,
        "precalculate_logprobs": own,
        "truncated_importance_sampling": settings.truncate_importance_at if own else None,
        "logprob_calculation_chunk_size": settings.art.logprob_chunk,
    }


def server_config(
    engine: EngineSection, *, model_path: Path, port: int, context: int, gpu: bool
) -> dict[str, Any]:
    """ART's `OpenAIServerConfig`: the arguments that a vLLM server of ours has, in place of ART's own.

    The base model's name and a server without a tokenizer are ours, as the gateway renders the prompts.
    """
    arguments = server_arguments(model_path, HOST, port, engine, context, gpu=gpu)
    given = as_options(arguments)
    for name in ("model", "host"):  # ART gives them itself
        del given[name]
    # What ART would add, and what a server without a tokenizer refuses.
    return {
        "server_args": {
            "enable_auto_tool_choice": False,
            "tool_call_parser": None,
            **given,
            "port": port,
        }
    }


def as_options(arguments: Sequence[str]) -> dict[str, Any]:
    """`["--dtype", "bfloat16", "--enforce-eager"]` as ART's `{"dtype": "bfloat16", "enforce_eager": True}`."""
    options: dict[str, Any] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("-"):
            name, given, value = argument.lstrip("-").partition("=")
            name = name.replace("-", "_")
            options[name] = value if given else True
        else:
            options[name] = argument
    return options
