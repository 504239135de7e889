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
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from tac_rl.errors import LearnerError

PACKED = "tac_rl_packed"
SCORES_BYTES = 128 << 20
"""Scores of one row, all heads, that may exist at once where no fused kernel computes them."""
MASK_ELEMENTS = 1 << 18
"""Larger masks are made anew each time: keeping hundreds of them would take gigabytes."""


@dataclass(frozen=True)
class Segment:
    """The next `length` tokens, which follow those of segment number `after` (a prefix), or start a row."""

    length: int
    after: int | None = None


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
        raise LearnerError(
            "packed attention knows neither sliding windows nor dropout; use a model without them"
        )
    query_HTD, key_KTD, value_KTD = query_1HTD[0], key_1KTD[0], value_1KTD[0]
    query_HTD, key_KTD = query_HTD.to(value_KTD.dtype), key_KTD.to(value_KTD.dtype)
    attend = _fused if query_HTD.device.type == "cuda" else _products
    # Split and not sliced: the gradient of a slice is as large as what it was cut from.
    lengths = [segment.length for segment in segments]
    queries, keys, values = (tensor.split(lengths, dim=1) for tensor in (query_HTD, key_KTD, value_KTD))
    outputs = []
    for segment, query_HSD, key_KLD, value_KLD in zip(segments, queries, keys, values, strict=True):
        if segment.after is not None:
            key_KLD = torch.cat([keys[segment.after], key_KLD], dim=1)
            value_KLD = torch.cat([values[segment.after], value_KLD], dim=1)
        outputs.append(attend(query_HSD, key_KLD, value_KLD, scaling))
    return torch.cat(outputs, dim=1).transpose(0, 1)[None], None


def _products(query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, scaling: float) -> Tensor:
    """Two matrix products and a softmax.

    On the CPU this is two to three times faster than the fused kernel, whose backward pass in bfloat16 is slow;
    and the query heads of a key head are simply more rows of its product, with nothing repeated. Of a long row
    the scores are computed for some of its tokens at a time, and again in the backward pass.
    """
    heads, length, _ = query_HSD.shape
    total = key_KLD.shape[1]
    at_once = max(1, SCORES_BYTES // (heads * total * query_HSD.element_size()))
    if length <= at_once:
        return _scored(query_HSD, key_KLD, value_KLD, scaling, total)
    seen, outputs = total - length, []
    for part_HSD in query_HSD.split(at_once, dim=1):
        seen += part_HSD.shape[1]
        outputs.append(
            checkpoint(_scored, part_HSD, key_KLD, value_KLD, scaling, seen, use_reentrant=False)
        )
    return torch.cat(outputs, dim=1)


def _scored(query_HSD: Tensor, key_KLD: Tensor, value_KLD: Tensor, scaling: float, seen: int) -> Tensor:
    """Attention of consecutive tokens, the last of which is token `seen` - 1, to what they see."""
    heads, length, depth = query_HSD.shape
    kinds = key_KLD.shape[0]
    if seen < key_KLD.shape[1]:
        key_KLD, value_KLD = key_KLD[:, :seen], value_KLD[:, :seen]
    rows = heads // kinds * length
    scores = torch.bmm((query_HSD * scaling).reshape(kinds, rows, depth), key_KLD.transpose(1, 2))
    scores = scores.view(heads, length, seen) + _causal(length, seen, scores.dtype, scores.device)
    weights = scores.softmax(-1, dtype=value_KLD.dtype)
    return torch.bmm(weights.view(kinds, rows, seen), value_KLD).view(heads, length, depth)


def _causal(length: int, total: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[length, total] to be added to scores: the last `length` of `total` tokens see themselves and all before."""
    make = _kept_mask if length * total <= MASK_ELEMENTS else _make_mask
    return make(length, total, dtype, device)


def _make_mask(length: int, total: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((length, total), -math.inf, dtype=dtype, device=device).triu(total - length + 1)


_kept_mask = lru_cache(maxsize=256)(_make_mask)


def forget_masks() -> None:
    """Let go of the kept masks; they are made anew where they are needed."""
    _kept_mask.cache_clear()


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
