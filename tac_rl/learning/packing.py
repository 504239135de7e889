"""Micro-batches: as many rows as a budget of tokens allows, packed without padding, shared prefixes once.

Shapes: T packed tokens; N sampled tokens of the micro-batch; R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from tac_rl.learning.attention import Segment
from tac_rl.learning.batching import TrainRow


@dataclass(frozen=True)
class MicroBatch:
    inputs_T: Tensor
    positions_T: Tensor
    """Position of each token in its row."""
    segments: tuple[Segment, ...]
    flat_N: Tensor
    """Index among the T tokens of the one that predicts a sampled token; rows may share it."""
    targets_N: Tensor
    row_N: Tensor
    """Which of the R rows a sampled token belongs to."""
    slot_N: Tensor
    """Index into the step's flat arrays."""
    rows: int

    def to(self, device: torch.device) -> "MicroBatch":
        if device.type == "cpu":
            return self
        tensors = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return MicroBatch(**(vars(self) | tensors))


def micro_batches(rows: Sequence[TrainRow], token_budget: int) -> list[MicroBatch]:
    """Rows in their order, group by group, cut where the budget would be crossed. A row over it goes alone."""
    batches: list[MicroBatch] = []
    pack = _Pack()
    for _, members in groupby(rows, key=lambda row: row.group):
        group = list(members)
        shared = _shared_prefix(group)
        pack.open(shared)
        for row in group:
            if pack.rows and pack.tokens + pack.cost(row) > token_budget:
                batches.append(pack.close())
                pack = _Pack()
                pack.open(shared)
            pack.add(row)
    if pack.rows:
        batches.append(pack.close())
    return batches


def _shared_prefix(rows: Sequence[TrainRow]) -> Tensor:
    """The longest common prefix of the rows' inputs."""
    length = min(len(row.inputs) for row in rows)
    heads = torch.stack([row.inputs[:length] for row in rows])
    differs = (heads != heads[0]).any(0).nonzero()
    return rows[0].inputs[: int(differs[0]) if len(differs) else length]


class _Pack:
    """A micro-batch in the making."""

    def __init__(self) -> None:
        self.tokens = 0
        self.rows: list[TrainRow] = []
        self.inputs: list[Tensor] = []
        self.positions: list[Tensor] = []
        self.segments: list[Segment] = []
        self.flat: list[Tensor] = []
        self.prefix = torch.empty(0, dtype=torch.int64)
        self.prefix_start: int | None = None
        self.prefix_segment: int | None = None

    def open(self, prefix: Tensor) -> None:
        """The rows that follow start with `prefix`; it is laid down with the first of them."""
        self.prefix, self.prefix_start, self.prefix_segment = prefix, None, None

    def cost(self, row: TrainRow) -> int:
        """How many tokens the row would add."""
        return len(row.inputs) - (0 if self.prefix_start is None else len(self.prefix))

    def add(self, row: TrainRow) -> None:
        shared = len(self.prefix)
        if self.prefix_start is None:
            self.prefix_start = self.tokens
            if shared:
                self.prefix_segment = len(self.segments)
                self._lay(self.prefix, 0, None)
        start = self.tokens
        if len(row.inputs) > shared:
            self._lay(row.inputs[shared:], shared, self.prefix_segment)
        in_prefix = row.positions < shared
        self.flat.append(row.positions + torch.where(in_prefix, self.prefix_start, start - shared))
        self.rows.append(row)

    def _lay(self, tokens: Tensor, position: int, after: int | None) -> None:
        self.inputs.append(tokens)
        self.positions.append(torch.arange(position, position + len(tokens)))
        self.segments.append(Segment(len(tokens), after))
        self.tokens += len(tokens)

    def close(self) -> MicroBatch:
        counts = torch.tensor([len(row.targets) for row in self.rows])
        return MicroBatch(
            inputs_T=torch.cat(self.inputs),
            positions_T=torch.cat(self.positions),
            segments=tuple(self.segments),
            flat_N=torch.cat(self.flat),
            targets_N=torch.cat([row.targets for row in self.rows]),
            row_N=torch.arange(len(self.rows)).repeat_interleave(counts),
            slot_N=torch.cat([torch.arange(row.offset, row.offset + len(row.targets)) for row in self.rows]),
            rows=len(self.rows),
        )
