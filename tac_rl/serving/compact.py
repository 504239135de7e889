"""A compact forward pass for Qwen2 and Llama architectures, for models so small that Python dominates.

The same weights and the same function as the Hugging Face model (tested to 1e-4), with fewer and larger
operations: all tokens of a step, prompts and continuations of many sequences, form one flat batch for
the linear layers, and only attention goes sequence by sequence, over views of each one's own KV slot,
so that no sequence pays for the length of another. Prepared once per policy version:
- q, k and v in one matrix, gate and up in one; the norms' weights are folded into the matrices behind
  them, and attention's 1/sqrt(dim) into q;
- rows of q and k are reordered, so that rotary embedding (RoFormer, arXiv 2104.09864) is one complex
  product. q·k does not change when both are reordered alike.

Shape suffixes: T tokens of the step, H heads, K KV heads, R = H / K, D head size, L length so far.

Deliberately not here: sliding windows, rotary variants that depend on the length, other architectures
(`generic.py` serves those).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tac_rl.serving.forward import Span, kv_geometry
from tac_rl.serving.slots import KvStorage

_STATIC_ROPE = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: torch.Tensor
    """((H + 2K) * D, hidden)."""
    qkv_bias: torch.Tensor | None
    out: torch.Tensor
    """(H * D, hidden): transposed for addmm."""
    gate_up: torch.Tensor
    """(2 * intermediate, hidden)."""
    down: torch.Tensor
    """(intermediate, hidden): transposed for addmm."""


@dataclass(frozen=True, slots=True)
class _Weights:
    layers: tuple[_Layer, ...]
    head: torch.Tensor
    """(vocab, hidden)."""


def is_supported(config: Any) -> bool:
    """Whether `CompactModel` computes what this Hugging Face config describes."""
    rope = getattr(config, "rope_parameters", None) or {}
    layer_types = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        config.model_type in ("qwen2", "llama")
        and config.hidden_act == "silu"
        and set(layer_types) == {"full_attention"}
        and rope.get("rope_type", "default") in _STATIC_ROPE
        and not getattr(config, "mlp_bias", False)
        # Llama's attention_bias adds one to o_proj too, which Qwen2 never has.
        and not (config.model_type == "llama" and getattr(config, "attention_bias", False))
    )


class CompactModel:
    """Serves versions of one Qwen2 or Llama model; see the module's docstring."""

    def __init__(self, model: Any, slots: int, length: int) -> None:
        config = model.config
        self._heads: int = config.num_attention_heads
        layers, self._kv_heads, self._dim = kv_geometry(config)
        self._eps: float = config.rms_norm_eps
        self._parameters: dict[str, torch.Tensor] = {
            name: value.detach() for name, value in model.named_parameters(remove_duplicate=False)
        }
        self._embedding: torch.Tensor = self._parameters["model.embed_tokens.weight"]
        self._intermediate: int = config.intermediate_size
        self.vocab_size: int = config.vocab_size
        self.storage = KvStorage(
            layers=layers,
            slots=slots,
            kv_heads=self._kv_heads,
            length=length,
            head_dim=self._dim,
            dtype=self._embedding.dtype,
            device=self._embedding.device,
        )
        rotary = model.model.rotary_emb
        angles = torch.arange(length, device=rotary.inv_freq.device)[:, None] * rotary.inv_freq.float()[None]
        self._turns = torch.polar(torch.full_like(angles, float(rotary.attention_scaling)), angles)[:, None]
        """(length, 1, D / 2) complex64."""
        half = self._dim // 2
        self._pairs = torch.arange(self._dim).view(2, half).t().reshape(-1)
        self._base = _Weights(tuple(self._layer(i, {}, None) for i in range(layers)), self._head({}))
        self._versions: dict[int, _Weights] = {0: self._base}

    # Weights -----------------------------------------------------------------------------------------

    def _weight(self, module: str, deltas: dict[str, torch.Tensor]) -> torch.Tensor:
        """The merged weight of a linear layer in float32."""
        weight = self._parameters[module + ".weight"].float()
        return weight + deltas[module].to(weight.device) if module in deltas else weight

    def _reorder(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of q or k with rotary partners side by side, head by head."""
        heads = rows.unflatten(0, (-1, self._dim))
        return heads[:, self._pairs.to(rows.device)].flatten(0, 1)

    def _head(self, deltas: dict[str, torch.Tensor]) -> torch.Tensor:
        norm = self._parameters["model.norm.weight"].float()
        return (self._weight("lm_head", deltas) * norm).to(self._embedding.dtype)

    def _layer(self, index: int, deltas: dict[str, torch.Tensor], base: _Layer | None) -> _Layer:
        """Merged and prepared weights; parts without a delta are those of `base`, not copies."""
        name = f"model.layers.{index}."
        attention, mlp = name + "self_attn.", name + "mlp."
        dtype = self._embedding.dtype
        scale = 1 / math.sqrt(self._dim)
        qkv_names = [attention + part for part in ("q_proj", "k_proj", "v_proj")]
        gate_up_names = [mlp + "gate_proj", mlp + "up_proj"]
        if base is None or any(module in deltas for module in qkv_names):
            q, k, v = (self._weight(module, deltas) for module in qkv_names)
            norm = self._parameters[name + "input_layernorm.weight"].float()
            qkv = (torch.cat([self._reorder(q * scale), self._reorder(k), v]) * norm).to(dtype)
        else:
            qkv = base.qkv
        if base is not None:
            bias = base.qkv_bias
        elif qkv_names[0] + ".bias" in self._parameters:
            q, k, v = (self._parameters[module + ".bias"].float() for module in qkv_names)
            bias = torch.cat([self._reorder(q * scale), self._reorder(k), v]).to(dtype)
        else:
            bias = None
        if base is None or any(module in deltas for module in gate_up_names):
            norm = self._parameters[name + "post_attention_layernorm.weight"].float()
            gate_up = (torch.cat([self._weight(m, deltas) for m in gate_up_names]) * norm).to(dtype)
        else:
            gate_up = base.gate_up
        out = (
            base.out
            if base is not None and attention + "o_proj" not in deltas
            else (self._weight(attention + "o_proj", deltas).to(dtype).t())
        )
        down = (
            base.down
            if base is not None and mlp + "down_proj" not in deltas
            else (self._weight(mlp + "down_proj", deltas).to(dtype).t())
        )
        return _Layer(qkv, bias, out, gate_up, down)

    def add_version(self, version: int, deltas: dict[str, torch.Tensor]) -> None:
        layers = tuple(self._layer(i, deltas, base) for i, base in enumerate(self._base.layers))
        head = self._head(deltas) if "lm_head" in deltas else self._base.head
        self._versions[version] = _Weights(layers, head)

    def drop_version(self, version: int) -> None:
        self._versions.pop(version, None)

    # Forward -----------------------------------------------------------------------------------------

    @torch.inference_mode()
    def forward(self, version: int, spans: Sequence[Span]) -> torch.Tensor:
        weights = self._versions[version]
        device = self._embedding.device
        tokens_T = torch.tensor([token for span in spans for token in span.tokens], device=device)
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        for span in spans:
            end = len(positions) + len(span.tokens)
            positions.extend(range(span.start, span.start + len(span.tokens)))
            slots.extend([span.slot] * len(span.tokens))
            wanted.extend(range(end - span.outputs, end))
        positions_T = torch.tensor(positions, device=device)
        slots_T = torch.tensor(slots, device=device)
        rows = (
            None if len(wanted) == len(positions) else torch.tensor(wanted, dtype=torch.long, device=device)
        )
        turns_T = self._turns[positions_T]
        hidden = (self._embedding.shape[1],)
        query_width, turned = self._heads * self._dim, (self._heads + self._kv_heads) * self._dim
        ends = [(span.slot, span.start + len(span.tokens)) for span in spans]
        keys = list(zip(*(self.storage.keys(slot, end) for slot, end in ends), strict=True))
        values = list(zip(*(self.storage.values(slot, end) for slot, end in ends), strict=True))
        x = self._embedding[tokens_T]
        last = len(weights.layers) - 1
        for index, layer in enumerate(weights.layers):
            qkv = F.linear(F.rms_norm(x, hidden, eps=self._eps), layer.qkv, layer.qkv_bias)
            self._rotate(qkv[:, :turned], turns_T)
            self.storage.layers[index][slots_T, :, positions_T] = qkv[:, query_width:].unflatten(
                -1, (-1, self._dim)
            )
            attended = self._attend(qkv[:, :query_width], spans, keys[index], values[index])
            if index == last and rows is not None:
                x, attended = x[rows], attended[rows]
            x = torch.addmm(x, attended, layer.out)
            gate_up = F.linear(F.rms_norm(x, hidden, eps=self._eps), layer.gate_up)
            gate = F.silu(gate_up[:, : self._intermediate]).mul_(gate_up[:, self._intermediate :])
            x = torch.addmm(x, gate, layer.down)
        return F.linear(F.rms_norm(x, hidden, eps=self._eps), weights.head).float()

    def _rotate(self, part: torch.Tensor, turns_T: torch.Tensor) -> None:
        """Apply rotary embedding in place to `part` (T, heads * D)."""
        pairs = part.unflatten(-1, (-1, self._dim // 2, 2))
        if part.dtype == torch.float32:
            torch.view_as_complex(pairs).mul_(turns_T)
        else:
            pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * turns_T))

    def _attend(
        self,
        queries: torch.Tensor,
        spans: Sequence[Span],
        keys: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Causal attention of `queries` (T, H * D), already scaled.

        Each span looks at its own keys (K, D, L) and values (K, L, D), its new tokens' included.
        """
        out = torch.empty_like(queries, memory_format=torch.contiguous_format)
        grouped = (self._kv_heads, self._heads // self._kv_heads, self._dim)
        query_rows, out_rows = queries.unflatten(-1, grouped), out.view(-1, *grouped)
        at = 0
        for span, key_KDL, value_KLD in zip(spans, keys, values, strict=True):
            count = len(span.tokens)
            if count == 1:
                scores_KRL = torch.bmm(query_rows[at], key_KDL).softmax(-1)
                torch.bmm(scores_KRL, value_KLD, out=out_rows[at])
            else:
                mask = None
                if span.start:
                    mask = torch.ones(count, key_KDL.shape[2], dtype=torch.bool, device=out.device)
                    mask = mask.tril(span.start)
                attended = F.scaled_dot_product_attention(
                    queries[at : at + count].view(1, count, self._heads, self._dim).transpose(1, 2),
                    key_KDL.transpose(1, 2)[None],
                    value_KLD[None],
                    attn_mask=mask,
                    is_causal=mask is None,
                    scale=1.0,
                    enable_gqa=True,
                )
                out[at : at + count] = attended[0].transpose(0, 1).flatten(1)
            at += count
        return out
