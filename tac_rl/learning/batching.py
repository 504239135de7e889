"""Rows become tensors with everything that an average needs: advantages, and weights of tokens.

All of it is fixed once for all rows of a step, so that micro-batches only ever add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tac_rl.errors import LearnerError
from tac_rl.learning.advantages import GroupAdvantages
from tac_rl.learning.base import Row
from tac_rl.learning.losses.base import Normalisation


@dataclass(frozen=True)
class TrainRow:
    """One row that is trained on, ready for the model."""

    group: int
    """Index of its group among the step's groups."""
    rollout: int
    """Index of its rollout among the step's rollouts."""
    unit: int
    """What stays in one minibatch: the rollout, or with a loss over pairs the pair."""
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


def train_rows(step: GroupAdvantages) -> list[TrainRow]:
    """The trainable rows of a step's groups; rows without a sampled token fall out."""
    result: list[TrainRow] = []
    rollout, offset = 0, 0
    pairs = [pair for of_group in step.pairs for pair in of_group]
    for number, (group, advantages) in enumerate(zip(step.groups, step.advantages, strict=True)):
        for graded, advantage in zip(group.rollouts, advantages, strict=True):
            for row in graded.rows:
                if any(row.sampled):
                    unit = pairs[rollout] if pairs else rollout
                    result.append(_train_row(row, number, rollout, unit, advantage, offset))
                    offset += len(result[-1].targets)
            rollout += 1
    return result


def check_tokens(rows: Sequence[TrainRow], vocabulary: int, model_path: Path) -> None:
    """`LearnerError` where a row has a token that the model in `model_path` has not."""
    for row in rows:
        highest = max(int(row.inputs.max()), int(row.targets.max()))
        if highest >= vocabulary:
            raise LearnerError(
                f"token id {highest} in a row, but {model_path} has {vocabulary}; "
                "engine and learner must have the same model"
            )


def _train_row(row: Row, group: int, rollout: int, unit: int, advantage: float, offset: int) -> TrainRow:
    sampled = torch.from_numpy(np.flatnonzero(np.array(row.sampled, dtype=bool)))
    ids = torch.tensor(row.token_ids[: int(sampled[-1]) + 1], dtype=torch.int64)
    return TrainRow(
        group=group,
        rollout=rollout,
        unit=unit,
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
    pairs: 1 / pairs.
    """
    counts = torch.tensor([len(row.targets) for row in rows])
    owners = torch.tensor([row.rollout for row in rows])
    rollouts = len(owners.unique())
    if normalisation == "tokens":
        per_row = torch.full((len(rows),), 1.0 / int(counts.sum()))
    elif normalisation == "rollouts":
        per_rollout = torch.zeros(int(owners.max()) + 1, dtype=torch.int64).index_add(0, owners, counts)
        per_row = 1.0 / (rollouts * per_rollout[owners])
    elif normalisation == "pairs":
        per_row = torch.full((len(rows),), 1.0 / len({row.unit for row in rows}))
    else:
        per_row = torch.full((len(rows),), 1.0 / (rollouts * constant_tokens))
    return per_row.repeat_interleave(counts)


def minibatches(rows: list[TrainRow], parts: int, seeds: tuple[int, int, int]) -> list[list[TrainRow]]:
    """Deal the rollouts out at random; all rows of a rollout (or of a pair) are in the same part."""
    if parts == 1:
        return [rows]
    units = sorted({row.unit for row in rows})
    seed = hash(seeds) & (2**63 - 1)  # a tuple of integers hashes the same in every process
    order = torch.randperm(len(units), generator=torch.Generator().manual_seed(seed)).tolist()
    part_of = {units[index]: place % parts for place, index in enumerate(order)}
    dealt = [[row for row in rows if part_of[row.unit] == part] for part in range(parts)]
    return [part for part in dealt if part]
