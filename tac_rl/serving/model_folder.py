"""What a saved model's folder says about it, read without torch."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tac_rl.errors import EngineError

DEFAULT_CONTEXT = 4096
"""Longest context that is used without being asked for, because each sequence's cache costs memory."""


def model_config(model_path: Path) -> dict[str, Any]:
    """The model's `config.json`. Raises `EngineError` where there is none."""
    file = model_path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"{file}: not readable ({error}); give a folder made by save_pretrained") from error
    if not isinstance(config, dict):
        raise EngineError(f"{file}: must hold a JSON object")
    return config


def context_length(model_path: Path, wanted: int | None) -> int:
    """Tokens of prompt and completion together. Raises `EngineError` where `wanted` is beyond the model."""
    limit = int(model_config(model_path).get("max_position_embeddings", DEFAULT_CONTEXT))
    if wanted is not None and wanted > limit:
        raise EngineError(
            f"engine.max_model_len is {wanted}, but {model_path} was made for at most {limit} tokens"
        )
    return wanted or min(limit, DEFAULT_CONTEXT)


def linear_shapes(model_path: Path) -> dict[str, tuple[int, int]]:
    """Shapes (out, in) of every two-dimensional weight of a saved model, by module name.

    Reads the headers of `*.safetensors` only. Raises `EngineError` where there are none.
    """
    files = sorted(model_path.glob("*.safetensors")) if model_path.is_dir() else []
    if not files:
        raise EngineError(f"{model_path}: no *.safetensors there; give a folder made by save_pretrained")
    shapes: dict[str, tuple[int, int]] = {}
    for file in files:
        try:
            with safe_open(file, framework="np") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    shape = tensors.get_slice(name).get_shape()
                    if len(shape) == 2 and name.endswith(".weight"):
                        shapes[name.removesuffix(".weight")] = (shape[0], shape[1])
        except (SafetensorError, OSError) as error:
            raise EngineError(f"{file}: not a readable safetensors file ({error}); copy it again") from error
    # A tied output layer is not stored under its own name.
    if "lm_head" not in shapes and "model.embed_tokens" in shapes:
        shapes["lm_head"] = shapes["model.embed_tokens"]
    return shapes
