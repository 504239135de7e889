"""What of a model's `config.json` its memory follows from. Nothing in this package imports torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.errors import ConfigError

GIB = 2**30


@dataclass(frozen=True)
class ModelShape:
    """A decoder of the Qwen2 and Llama kind: grouped-query attention and a gated MLP of three matrices."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    """Whether the output layer is the embedding."""
    context: int = 32_768
    """The longest sequence it was made for."""
    biases: bool = True
    """Whether q, k and v have biases (Qwen2)."""

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the seven matrices of a layer."""
        query, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (query, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Of all layers' matrices: what a quantised base stores in four bits."""
        return self.layers * sum(rows * columns for rows, columns in self.linear_shapes.values())

    @property
    def other_parameters(self) -> int:
        """Embedding, output layer where it is not tied, norms and biases."""
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.biases else 0
        return tables + self.layers * (2 * self.hidden + biases) + self.hidden

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters

    def lora_parameters(self, rank: int, targets: str | tuple[str, ...]) -> int:
        """Of a LoRA on the named matrices, or on all of them (`all-linear`)."""
        chosen = self.linear_shapes if isinstance(targets, str) else targets
        shapes = [shape for name, shape in self.linear_shapes.items() if name in chosen]
        return self.layers * rank * sum(rows + columns for rows, columns in shapes)


def _qwen(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, tied: bool) -> ModelShape:
    vocabulary = 151_936 if tied else 152_064
    return ModelShape(
        hidden, intermediate, layers, heads, kv_heads, hidden // heads, vocabulary, tied, context=32_768
    )


KNOWN: Mapping[str, ModelShape] = {
    "qwen2.5-0.5b": _qwen(896, 4864, 24, 14, 2, True),
    "qwen2.5-1.5b": _qwen(1536, 8960, 28, 12, 2, True),
    "qwen2.5-3b": _qwen(2048, 11_008, 36, 16, 2, True),
    "qwen2.5-7b": _qwen(3584, 18_944, 28, 28, 4, False),
    "qwen2.5-14b": _qwen(5120, 13_824, 48, 40, 8, False),
}
"""Published shapes, so that a plan can be made before gigabytes are downloaded."""


def shape_of(config: Mapping[str, Any], source: str) -> ModelShape:
    """The shape that a `config.json` gives; raises `ConfigError` naming the field that is missing or odd."""

    def number(name: str, default: int | None = None) -> int:
        value = config.get(name, default)
        if value is None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{source}: {name} is {value!r}; a memory plan needs a whole number there")
        return value

    heads = number("num_attention_heads")
    hidden = number("hidden_size")
    return ModelShape(
        hidden=hidden,
        intermediate=number("intermediate_size"),
        layers=number("num_hidden_layers"),
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        head_dim=number("head_dim", hidden // heads),
        vocabulary=number("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        context=number("max_position_embeddings", 32_768),
        biases=config.get("model_type") == "qwen2" or bool(config.get("attention_bias")),
    )


def read_shape(model: Path) -> ModelShape:
    """Of the model in a folder, or, where there is none yet, of the published model that it is named after."""
    file = model / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = known_shape(model.name)
        if known is None:
            raise ConfigError(
                f"model: {file} is missing, and {model.name!r} is not named after a model whose shape is known "
                f"({', '.join(KNOWN)})"
            ) from None
        return known
    except (OSError, ValueError) as error:
        raise ConfigError(f"model: {file} can't be read ({error}); download it again") from error
    if not isinstance(config, dict):
        raise ConfigError(f"model: {file} must hold a JSON object; download it again")
    return shape_of(config, str(file))


def known_shape(name: str) -> ModelShape | None:
    """By the name of a folder or a published model: `Qwen2.5-7B-Instruct`, `Qwen/Qwen2.5-0.5B`."""
    plain = name.lower().rpartition("/")[2]
    for known, shape in KNOWN.items():
        if plain == known or plain.startswith(known + "-"):
            return shape
    return None
