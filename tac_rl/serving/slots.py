"""Slots: the KV cache of one sequence each, and which tokens it holds.

A finished sequence keeps its slot until another needs it (least recently used first), so the next
turn of a rollout computes only its new tokens, and the rollouts of a group compute their common
prompt once. Matching is by token ids and policy version: a stale cache can't be served.
"""

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

_EMPTY = -1


def _lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros that take memory page by page when written.

    Most positions of most slots never are; with huge pages, touching one would take (and clear) them all.
    """
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


class KvStorage:
    """Keys and values of all layers and slots: `kv` has shape (layers, slots, 2 * kv_heads, length, dim).

    The first `kv_heads` rows are keys, the others values. Memory is taken when it is first written.
    """

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        kv_heads: int,
        length: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.kv_heads = kv_heads
        shape = (layers, slots, 2 * kv_heads, length, head_dim)
        self.kv = (
            _lazy_zeros(shape, dtype)
            if device.type == "cpu"
            else torch.zeros(shape, dtype=dtype, device=device)
        )
        self.layers = self.kv.unbind(0)
        # Views made once, because making one costs as much as a small product.
        by_slot = self.kv.unbind(1)
        self._keys = [slot[:, :kv_heads].transpose(2, 3) for slot in by_slot]
        self._values = [slot[:, kv_heads:] for slot in by_slot]

    def keys(self, slot: int, length: int) -> tuple[torch.Tensor, ...]:
        """Each layer's first `length` keys of a slot: (kv_heads, dim, length)."""
        return self._keys[slot].narrow(3, 0, length).unbind(0)

    def values(self, slot: int, length: int) -> tuple[torch.Tensor, ...]:
        """Each layer's first `length` values of a slot: (kv_heads, length, dim)."""
        return self._values[slot].narrow(2, 0, length).unbind(0)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.kv[:, target, :, :length] = self.kv[:, source, :, :length]


@dataclass(frozen=True)
class Claim:
    """A slot given to a sequence, whose first `reused` tokens are computed already."""

    slot: int
    reused: int


class SlotTable:
    """Which sequence each slot holds. Not thread-safe: it belongs to the batch loop."""

    def __init__(self, storage: KvStorage, slots: int, length: int) -> None:
        self._storage = storage
        self._tokens = np.zeros((slots, length), dtype=np.int32)
        self._lengths = np.zeros(slots, dtype=np.int64)
        self._versions = np.full(slots, _EMPTY, dtype=np.int64)
        self._busy = np.zeros(slots, dtype=bool)
        self._used = np.zeros(slots, dtype=np.int64)
        self._clock = 0
        self.length = length
        self.reused_tokens = 0

    def best_prefix(self, tokens: np.ndarray, version: int) -> tuple[int, int]:
        """The slot that holds the longest computed prefix of `tokens`, and its length (0: none)."""
        rows = np.flatnonzero(self._versions == version)
        if not rows.size:
            return _EMPTY, 0
        width = min(int(self._lengths[rows].max()), tokens.size)
        same = self._tokens[rows, :width] == tokens[:width]
        # The first difference in each row; argmin gives 0 for a row without one.
        first = same.argmin(axis=1) if width else np.zeros(rows.size, dtype=np.int64)
        first[same.all(axis=1)] = width
        first = np.minimum(first, self._lengths[rows])
        best = int(first.argmax())
        return int(rows[best]), int(first[best])

    def claim(self, tokens: np.ndarray, version: int, *, reuse: bool = True) -> Claim | None:
        """A slot for a new sequence; None where every slot is busy.

        The last token is always computed, because its output is what the caller wants.
        """
        source, reused = self.best_prefix(tokens, version) if reuse else (_EMPTY, 0)
        reused = min(reused, tokens.size - 1)
        if source >= 0 and not self._busy[source] and reused >= self._lengths[source] - 1:
            slot = source  # The next turn of the same rollout: go on in place.
        else:
            slot = self._victim()
            if slot < 0:
                return None
            if reused and slot != source:
                self._storage.copy_prefix(source, slot, reused)
                self._tokens[slot, :reused] = tokens[:reused]
        self._busy[slot] = True
        self._versions[slot] = version
        self._lengths[slot] = reused
        self._touch(slot)
        self.reused_tokens += reused
        return Claim(slot, reused)

    def _victim(self) -> int:
        idle = np.flatnonzero(~self._busy)
        return int(idle[self._used[idle].argmin()]) if idle.size else _EMPTY

    def _touch(self, slot: int) -> None:
        self._clock += 1
        self._used[slot] = self._clock

    def append(self, slot: int, tokens: Sequence[int]) -> None:
        """Note that the keys and values of these next tokens are now computed."""
        start = int(self._lengths[slot])
        self._tokens[slot, start : start + len(tokens)] = tokens
        self._lengths[slot] = start + len(tokens)

    def release(self, slot: int, *, keep: bool) -> None:
        """End of a sequence; `keep` its cache for the next turn, or not (its version is retired)."""
        self._busy[slot] = False
        if keep:
            self._touch(slot)
        else:
            self._clear(slot)

    def _clear(self, slot: int) -> None:
        self._versions[slot] = _EMPTY
        self._lengths[slot] = 0
        self._used[slot] = 0

    def forget(self, version: int) -> None:
        """Drop the idle caches of a version."""
        for slot in np.flatnonzero((self._versions == version) & ~self._busy):
            self._clear(int(slot))
