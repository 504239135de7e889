"""Causal attention over packed rows, in which a prefix that rows share exists once.

Rows of one group start with the same prompt, which is often half of them. A micro-batch is therefore one
sequence without padding: each prefix once, followed by what is different in its rows. A row's tokens attend to
their prefix and to themselves; gradients of all rows meet in the prefix. Everything but attention works on single
tokens and need not know.

Transformers calls `packed_attention` in every layer, for models loaded with `attn_implementation=PACKED`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

PACKED = "tac_rl_packed"


@dataclass(frozen=True)
class Segment:
    """`length` tokens from `start` on, which come after the `prefix` tokens from `prefix_start` on."""

    start: int
    length: int
    prefix_start: int = 0
    prefix: int = 0


def packed_attention(
    module: nn.Module,
    query_1HTD: Tensor,
    key_1KTD: Tensor,
    value_1KTD: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    segments: Sequence[Segment],
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of H query heads to K key heads (H is a multiple of K) over T packed tokens, D a head.

    `segments` cover the T tokens in their order. Returns [1, T, H, D].
    """
    if sliding_window is not None or dropout:
        raise NotImplementedError("packed attention knows neither sliding windows nor dropout")
    query_HTD, key_KTD, value_KTD = query_1HTD[0], key_1KTD[0], value_1KTD[0]
    query_HTD, key_KTD = query_HTD.to(value_KTD.dtype), key_KTD.to(value_KTD.dtype)
    attend = _products if query_HTD.device.type == "cpu" else _fused
    outputs = []
    for segment in segments:
        own = slice(segment.start, segment.start + segment.length)
        key_KLD, value_KLD = key_KTD[:, own], value_KTD[:, own]
        if segment.prefix:
            before = slice(segment.prefix_start, segment.prefix_start + segment.prefix)
            key_KLD = torch.cat([key_KTD[:, before], key_KLD], dim=1)
            value_KLD = torch.cat([value_KTD[:, before], value_KLD], dim=1)
        outputs.append(attend(query_HTD[:, own], key_KLD, value_KLD, scaling))
    return torch.cat(outputs, dim=1).transpose(0, 1)[None], None


def _products(query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, scaling: float) -> Tensor:
    """Two matrix products and a softmax.

    On the CPU this is two to three times faster than the fused kernel, whose backward pass in bfloat16 is slow;
    and the query heads of a key head are simply more rows of its product, with nothing repeated.
    """
    heads, length, depth = query_HSD.shape
    kinds, total, _ = key_KLD.shape
    rows = heads // kinds * length
    scores = torch.bmm((query_HSD * scaling).reshape(kinds, rows, depth), key_KLD.transpose(1, 2))
    scores = scores.view(heads, length, total) + _causal(length, total, scores.dtype)
    weights = scores.softmax(-1, dtype=value_KLD.dtype)
    return torch.bmm(weights.view(kinds, rows, total), value_KLD).view(heads, length, depth)


@lru_cache(maxsize=256)
def _causal(length: int, total: int, dtype: torch.dtype) -> Tensor:
    """[length, total] to be added to scores: the last `length` of `total` tokens see themselves and all before."""
    return torch.full((length, total), -math.inf, dtype=dtype).triu(total - length + 1)


def _fused(query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, scaling: float) -> Tensor:
    """The fused kernel, whose memory grows only linearly with the length."""
    output: Tensor = nn.functional.scaled_dot_product_attention(
        query_HSD[None],
        key_KLD[None],
        value_KLD[None],
        attn_mask=causal_lower_right(query_HSD.shape[1], key_KLD.shape[1]),
        scale=scaling,
        enable_gqa=query_HSD.shape[0] != key_KLD.shape[0],
    )
    return output[0]


def _no_mask(*_: Any, **__: Any) -> None:
    """Segments say all that a mask would."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)
