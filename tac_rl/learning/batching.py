"""Rows become tensors, and tensors become micro-batches of rows of about the same length.

Everything that an average needs (weights of tokens, offsets into the step's flat arrays) is fixed here,
once for all rows, so that micro-batches only ever add up.

Shapes: B rows of a micro-batch, padded to L; N sampled tokens of a micro-batch; T sampled tokens of all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tac_rl.learning.advantages import GroupAdvantages
from tac_rl.learning.base import Row
from tac_rl.learning.losses.base import Normalisation


@dataclass(frozen=True)
class TrainRow:
    """One row that is trained on, ready for the model."""

    rollout: int
    """Index of its rollout among the step's rollouts."""
    inputs: Tensor
    """int64 [length]: the tokens up to, and without, the last sampled one. What comes after it predicts
    nothing."""
    positions: Tensor
    """int64 [n]: the positions of `inputs` that predict a sampled token."""
    targets: Tensor
    """int64 [n]: the sampled tokens."""
    engine_logprobs: Tensor
    """float32 [n]."""
    advantage: float
    offset: int
    """Where this row's n tokens start in the step's flat arrays."""


@dataclass(frozen=True)
class MicroBatch:
    """Right-padded, so that causal attention needs no mask: no token sees the padding after it."""

    inputs_BL: Tensor
    flat_N: Tensor
    """Index into the B*L positions of each position that predicts a sampled token."""
    targets_N: Tensor
    row_N: Tensor
    """Which of the B rows a token belongs to."""
    slot_N: Tensor
    """Index into the step's flat arrays."""

    @property
    def rows(self) -> int:
        return self.inputs_BL.shape[0]

    def to(self, device: torch.device) -> "MicroBatch":
        return MicroBatch(
            *(
                tensor.to(device, non_blocking=True)
                for tensor in (self.inputs_BL, self.flat_N, self.targets_N, self.row_N, self.slot_N)
            )
        )


def train_rows(step: GroupAdvantages) -> list[TrainRow]:
    """The trainable rows of a step's groups; rows without a sampled token fall out."""
    result: list[TrainRow] = []
    rollout, offset = 0, 0
    for group, advantages in zip(step.groups, step.advantages, strict=True):
        for graded, advantage in zip(group.rollouts, advantages, strict=True):
            for row in graded.rows:
                if any(row.sampled):
                    result.append(_train_row(row, rollout, advantage, offset))
                    offset += len(result[-1].targets)
            rollout += 1
    return result


def _train_row(row: Row, rollout: int, advantage: float, offset: int) -> TrainRow:
    sampled = torch.from_numpy(np.flatnonzero(np.array(row.sampled, dtype=bool)))
    ids = torch.tensor(row.token_ids[: int(sampled[-1]) + 1], dtype=torch.int64)
    return TrainRow(
        rollout=rollout,
        inputs=ids[:-1],
        positions=sampled - 1,
        targets=ids[sampled],
        engine_logprobs=torch.tensor(row.logprobs)[sampled],
        advantage=advantage,
        offset=offset,
    )


def token_weights(rows: Sequence[TrainRow], normalisation: Normalisation, constant_tokens: int) -> Tensor:
    """float32 [tokens of `rows`, in their order]: what each token's loss counts in the sum that is minimised.

    tokens: 1 / tokens. rollouts: 1 / (rollouts * tokens of the rollout). constant: 1 / (rollouts * constant).
    """
    counts = torch.tensor([len(row.targets) for row in rows])
    owners = torch.tensor([row.rollout for row in rows])
    rollouts = len(owners.unique())
    if normalisation == "tokens":
        per_row = torch.full((len(rows),), 1.0 / int(counts.sum()))
    elif normalisation == "rollouts":
        per_rollout = torch.zeros(int(owners.max()) + 1, dtype=torch.int64).index_add(0, owners, counts)
        per_row = 1.0 / (rollouts * per_rollout[owners])
    else:
        per_row = torch.full((len(rows),), 1.0 / (rollouts * constant_tokens))
    return per_row.repeat_interleave(counts)


def micro_batches(rows: Sequence[TrainRow], token_budget: int) -> list[MicroBatch]:
    """Rows sorted by length and cut where rows x longest would cross the budget. A row over it goes alone."""
    ordered = sorted(rows, key=lambda row: (-len(row.inputs), row.offset))
    batches: list[MicroBatch] = []
    start = 0
    while start < len(ordered):
        size = max(1, token_budget // len(ordered[start].inputs))
        batches.append(_collate(ordered[start : start + size]))
        start += size
    return batches


def _collate(rows: Sequence[TrainRow]) -> MicroBatch:
    longest = max(len(row.inputs) for row in rows)
    inputs_BL = torch.zeros(len(rows), longest, dtype=torch.int64)
    for index, row in enumerate(rows):
        inputs_BL[index, : len(row.inputs)] = row.inputs
    counts = torch.tensor([len(row.targets) for row in rows])
    return MicroBatch(
        inputs_BL=inputs_BL,
        flat_N=torch.cat([row.positions + index * longest for index, row in enumerate(rows)]),
        targets_N=torch.cat([row.targets for row in rows]),
        row_N=torch.arange(len(rows)).repeat_interleave(counts),
        slot_N=torch.cat([torch.arange(row.offset, row.offset + len(row.targets)) for row in rows]),
    )
