"""What the batch loop asks of a model: one forward pass over spans of many sequences.

Two implementations: `compact.CompactModel` for Qwen2 and Llama architectures, and
`generic.GenericModel` around any Hugging Face causal language model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from tac_rl.serving.slots import KvStorage


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one sequence that are to be computed now."""

    slot: int
    start: int
    """How many tokens of the sequence are computed already."""
    tokens: Sequence[int]
    outputs: int
    """How many of the last positions need logits (0: none yet, len(tokens): all)."""


class ForwardModel(Protocol):
    vocab_size: int
    storage: KvStorage

    def add_version(self, version: int, deltas: dict[str, torch.Tensor]) -> None:
        """Make `version` = base plus `deltas` (module name to (out, in) float32)."""
        ...

    def drop_version(self, version: int) -> None: ...

    def forward(self, version: int, spans: Sequence[Span]) -> torch.Tensor:
        """Write the spans' keys and values; logits (sum of `outputs`, vocab) in float32, in span order."""
        ...


def kv_geometry(config: Any) -> tuple[int, int, int]:
    """Layers, KV heads and head size of a Hugging Face model config."""
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, kv_heads, head_dim
