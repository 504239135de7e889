"""Read and check PEFT adapter directories, for every engine. Nothing here imports torch at module level.

A LoRA adapter adds `scale * B @ A` to a linear weight W of shape (out, in), with A (rank, in),
B (out, rank) and scale = alpha / rank, or alpha / sqrt(rank) for rsLoRA (LoRA, arXiv 2106.09685;
rsLoRA, arXiv 2312.03732). Deliberately not supported, and refused: DoRA, trained biases, embeddings,
`modules_to_save`, ranks or alphas by pattern, initialisations that change the base weights.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tac_rl.errors import AdapterError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# Options that change what the adapter computes, with the values that mean "not used".
_REFUSED: dict[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "fan_in_fan_out": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "use_qalora": (False, None),
    "use_bdlora": (False, None),
    "alora_invocation_tokens": (None, []),
    "megatron_config": (None, {}),
    "init_lora_weights": (True, False, "gaussian", None),
}


@dataclass(frozen=True)
class AdapterSpec:
    """A checked adapter directory, weights not yet read."""

    path: Path
    rank: int
    scale: float
    modules: tuple[str, ...]
    """Names of the targeted linear modules, as in the base model (`model.layers.0.self_attn.q_proj`)."""
    prefix: str
    """What stands before a module's name in the weights file."""


def _read_config(path: Path) -> dict[str, Any]:
    file = path / CONFIG_FILE
    if not path.is_dir():
        raise AdapterError(f"{path}: no such adapter directory")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AdapterError(f"{file}: missing; a PEFT directory has it beside {WEIGHTS_FILE}") from error
    except (OSError, ValueError) as error:
        raise AdapterError(f"{file}: not readable JSON ({error}); write the adapter again") from error
    if not isinstance(config, dict):
        raise AdapterError(f"{file}: must hold a JSON object")
    return config


def check_adapter(path: Path, shapes: Mapping[str, tuple[int, int]]) -> AdapterSpec:
    """Check an adapter directory against the base model's `shapes` (of `model_folder.linear_shapes`).

    Raises `AdapterError` naming the file, the field and the fix.
    """
    config = _read_config(path)
    file = path / CONFIG_FILE
    if config.get("peft_type") != "LORA":
        raise AdapterError(f"{file}: peft_type is {config.get('peft_type')!r}; only LORA is served")
    for field, unused in _REFUSED.items():
        if field in config and config[field] not in unused:
            raise AdapterError(f"{file}: {field}={config[field]!r} is not supported; train without it")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1:
        raise AdapterError(f"{file}: r is {rank!r}; it must be a whole number of at least 1")
    if not isinstance(alpha, int | float):
        raise AdapterError(f"{file}: lora_alpha is {alpha!r}; it must be a number")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    modules, prefix = _check_weights(path / WEIGHTS_FILE, rank, shapes)
    targets = config.get("target_modules")
    if isinstance(targets, list):
        for target in targets:
            if not any(name == target or name.endswith("." + str(target)) for name in modules):
                raise AdapterError(
                    f"{path / WEIGHTS_FILE}: no weights for target module {target!r} of {CONFIG_FILE}"
                )
    return AdapterSpec(path, rank, scale, modules, prefix)


def _check_weights(
    file: Path, rank: int, shapes: Mapping[str, tuple[int, int]]
) -> tuple[tuple[str, ...], str]:
    """The targeted modules and the key prefix of a weights file whose shapes fit the base model."""
    if not file.is_file():
        raise AdapterError(f"{file}: missing; save the adapter with safe_serialization=True")
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    prefix = "base_model.model."
    try:
        with safe_open(file, framework="np") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (not a mapping)
                name = key.removeprefix(prefix)
                for half in ("A", "B"):
                    if name.endswith(f".lora_{half}.weight"):
                        module = name.removesuffix(f".lora_{half}.weight")
                        halves.setdefault(module, {})[half] = tuple(tensors.get_slice(key).get_shape())
                        break
                else:
                    raise AdapterError(
                        f"{file}: tensor {key!r} is not a LoRA half of a linear layer; train such layers only "
                        "(target_modules: all-linear)"
                    )
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{file}: corrupt ({error}); write the adapter again") from error
    if not halves:
        raise AdapterError(f"{file}: holds no LoRA weights")
    for module, pair in halves.items():
        if set(pair) != {"A", "B"}:
            raise AdapterError(f"{file}: {module} has only lora_{''.join(pair)}; write the adapter again")
        if module not in shapes:
            raise AdapterError(f"{file}: the base model has no linear layer {module!r}; wrong base model?")
        out_size, in_size = shapes[module]
        if pair["A"] != (rank, in_size) or pair["B"] != (out_size, rank):
            raise AdapterError(
                f"{file}: {module} has shapes A {pair['A']} and B {pair['B']}, but rank {rank} on this base "
                f"model needs A {(rank, in_size)} and B {(out_size, rank)}; it was made for another model"
            )
    return tuple(sorted(halves)), prefix


def read_deltas(spec: AdapterSpec) -> dict[str, Any]:
    """`scale * B @ A` in float32 for every targeted module: torch tensors of shape (out, in).

    Raises `AdapterError` where a weight is not finite.
    """
    from safetensors.torch import load_file

    file = spec.path / WEIGHTS_FILE
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{file}: corrupt ({error}); write the adapter again") from error
    deltas: dict[str, Any] = {}
    for module in spec.modules:
        a = tensors[f"{spec.prefix}{module}.lora_A.weight"].float()
        b = tensors[f"{spec.prefix}{module}.lora_B.weight"].float()
        delta = spec.scale * (b @ a)
        if not bool(delta.isfinite().all()):
            raise AdapterError(
                f"{file}: {module} holds NaN or infinity; the learner diverged, use an older one"
            )
        deltas[module] = delta
    return deltas
