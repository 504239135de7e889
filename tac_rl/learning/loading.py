"""The base model as the learner holds it: device, number format, quantisation, gradient checkpointing."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tac_rl.config.learner import LearnerSection
from tac_rl.errors import ConfigError, LearnerError
from tac_rl.learning.attention import PACKED
from tac_rl.memory_plan.learner import learner_load, learner_memory
from tac_rl.memory_plan.shape import shape_of

SHARE_OF_FREE = 0.8
"""Of the memory that is free: what a step may need without checkpointing before `auto` turns it on."""
WEIGHTS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "nf4": torch.bfloat16}


@dataclass(frozen=True)
class Base:
    """A loaded base model and how it computes."""

    model: Any
    device: torch.device
    autocast: bool
    """Whether matrix products are computed in bfloat16."""
    weights: str
    """`float32`, `bfloat16` or `nf4`."""


def load_base(model_path: Path, settings: LearnerSection) -> Base:
    """The model of a folder, without an adapter. Raises `LearnerError`."""
    from transformers import AutoModelForCausalLM

    device = choose_device(settings.device)
    autocast = wants_bfloat16(settings.precision, device)
    weights = settings.base_weights
    if weights == "auto":
        weights = "bfloat16" if autocast and device.type == "cuda" else "float32"
    if weights != "float32" and not autocast:
        raise LearnerError(
            f"learner.base_weights is {weights}, which computes in bfloat16, but learner.precision is "
            f"{settings.precision} and gives float32 here; set learner.precision: bfloat16"
        )
    options: dict[str, Any] = {"dtype": WEIGHTS[weights]}
    if weights == "nf4":
        options |= _quantised(device)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(model_path), local_files_only=True, attn_implementation=PACKED, **options
        )
    except torch.OutOfMemoryError as error:
        raise LearnerError(
            f"model {model_path} doesn't fit on the device beside what is there: set learner.base_weights: nf4, or "
            "lower engine.vllm.gpu_memory_utilization (`--dry-run` prints the memory plan)"
        ) from error
    except (OSError, ValueError) as error:
        raise LearnerError(f"model {model_path} can't be loaded: {error}") from error
    if weights != "nf4":
        model = model.to(device)
    return Base(model, device, autocast, weights)


def _quantised(device: torch.device) -> dict[str, Any]:
    """How transformers loads the linear layers in four bits (QLoRA, arXiv 2305.14314); the output layer stays."""
    if device.type == "mps":
        raise LearnerError(
            "learner.base_weights is nf4, which bitsandbytes doesn't compute on Apple's GPUs; set it to auto"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise LearnerError(
            "learner.base_weights is nf4, but bitsandbytes is not installed: pip install 'tac-rl[qlora]' "
            "(./setup.sh --qlora), or set learner.base_weights: auto"
        )
    from transformers import BitsAndBytesConfig

    return {
        "device_map": {"": device},
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
    }


def choose_device(wanted: str) -> torch.device:
    """The device that `learner.device` names. Raises `LearnerError` where torch finds none of the kind."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(kind for kind in found if found[kind]))
    device = torch.device(wanted)
    if not found[device.type]:
        raise LearnerError(f"learner.device is {wanted}, but torch finds none; set it to auto or cpu")
    if device.index is not None:
        if device.index >= torch.cuda.device_count():
            raise LearnerError(
                f"learner.device is {wanted}, but torch finds {torch.cuda.device_count()} of them, counted from 0; "
                "set it to auto, or to one that is there"
            )
        torch.cuda.set_device(device)  # Some kernels compute on the current device, whatever they are given.
    return device


def wants_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to autocast. On the CPU bfloat16 pays only with instructions for it; without, it is much
    slower."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def wants_checkpointing(base: Base, settings: LearnerSection, longest_row: int) -> bool:
    """`auto`: where the plan of a step without it takes more than its share of the memory that is free."""
    if settings.gradient_checkpointing != "auto":
        return settings.gradient_checkpointing
    try:
        shape = shape_of(base.model.config.to_dict(), str(base.model.config.name_or_path))
    except ConfigError:
        return base.device.type != "cpu"  # An architecture that the plan doesn't know: the safe answer.
    load = learner_load(settings, longest_row, device=base.device.type, weights=base.weights, autocast=base.autocast)
    need = learner_memory(shape, load).total - learner_memory(shape, load).weights
    return need > SHARE_OF_FREE * free_memory(base.device)


def free_memory(device: torch.device) -> int:
    """Bytes that a step may still take on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration, ValueError):
        return 8 << 30  # Not Linux: half of a small laptop.
