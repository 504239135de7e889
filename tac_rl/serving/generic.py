"""A forward pass through any Hugging Face causal language model with a plain attention KV cache.

The model computes as it is; only its cache is ours: an object that answers `update` from the slots, so
that requests can join and leave between steps. Spans are padded to the longest of the step.
Deliberately refused: sliding windows and recurrent layers, whose state is not a KV cache by position.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from tac_rl.errors import EngineError
from tac_rl.serving.forward import Span, kv_geometry
from tac_rl.serving.slots import KvStorage


class _StepCache(Cache):
    """One step's view of the slots: writes the new keys and values, gives back all so far."""

    def __init__(self, storage: KvStorage, spans: Sequence[Span]) -> None:
        super().__init__(layers=[])
        device = storage.kv.device
        self._storage = storage
        self._slots = torch.tensor([span.slot for span in spans], device=device)
        self._length = max(span.start + len(span.tokens) for span in spans)
        rows, columns, slots, positions = [], [], [], []
        for row, span in enumerate(spans):
            for column in range(len(span.tokens)):
                rows.append(row)
                columns.append(column)
                slots.append(span.slot)
                positions.append(span.start + column)
        self._from = (torch.tensor(rows, device=device), torch.tensor(columns, device=device))
        self._to = (torch.tensor(slots, device=device), torch.tensor(positions, device=device))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = self._from
        slots, positions = self._to
        layer, heads = self._storage.layers[layer_idx], self._storage.kv_heads
        layer[slots, :heads, positions] = key_states[rows, :, columns]
        layer[slots, heads:, positions] = value_states[rows, :, columns]
        held = layer[self._slots, :, : self._length]
        return held[:, :heads], held[:, heads:]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._length


class GenericModel:
    """Serves versions of one Hugging Face causal language model; see the module's docstring."""

    def __init__(self, model: Any, slots: int, length: int) -> None:
        config = model.config
        layer_types = getattr(config, "layer_types", None) or ["full_attention"]
        if set(layer_types) != {"full_attention"}:
            raise EngineError(
                f"the transformers engine can't serve {config.model_type!r}: its layers {sorted(set(layer_types))} "
                "keep no plain KV cache; set engine.kind: vllm"
            )
        self._model = model
        layers, kv_heads, head_dim = kv_geometry(config)
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self.vocab_size: int = config.vocab_size
        self.storage = KvStorage(
            layers=layers,
            slots=slots,
            kv_heads=kv_heads,
            length=length,
            head_dim=head_dim,
            dtype=self._dtype,
            device=self._device,
        )
        self._versions: dict[int, dict[str, torch.Tensor]] = {0: {}}

    def add_version(self, version: int, deltas: dict[str, torch.Tensor]) -> None:
        merged: dict[str, torch.Tensor] = {}
        for module, delta in deltas.items():
            weight = self._model.get_submodule(module).weight.detach()
            merged[module + ".weight"] = (weight.float() + delta.to(weight.device)).to(weight.dtype)
        self._versions[version] = merged

    def drop_version(self, version: int) -> None:
        self._versions.pop(version, None)

    @torch.inference_mode()
    def forward(self, version: int, spans: Sequence[Span]) -> torch.Tensor:
        width = max(len(span.tokens) for span in spans)
        tokens = torch.zeros(len(spans), width, dtype=torch.long)
        positions = torch.zeros(len(spans), width, dtype=torch.long)
        for row, span in enumerate(spans):
            count = len(span.tokens)
            tokens[row, :count] = torch.tensor(span.tokens)
            positions[row, :count] = torch.arange(span.start, span.start + count)
        positions = positions.to(self._device)
        cache = _StepCache(self.storage, spans)
        # Position j is visible from position i where j <= i. Padding queries look at position 0, which
        # is always there; their outputs are not used.
        visible = torch.arange(cache.get_seq_length(), device=self._device) <= positions[..., None]
        mask = torch.zeros(visible.shape, dtype=self._dtype, device=self._device)
        mask = mask.masked_fill(~visible, torch.finfo(self._dtype).min)[:, None]
        outputs = torch.func.functional_call(
            self._model,
            self._versions[version],
            (),
            {
                "input_ids": tokens.to(self._device),
                "position_ids": positions,
                "attention_mask": mask,
                "past_key_values": cache,
                "use_cache": True,
            },
            tie_weights=False,
        )
        rows = [
            outputs.logits[row, len(span.tokens) - span.outputs : len(span.tokens)]
            for row, span in enumerate(spans)
        ]
        return torch.cat(rows).float()
