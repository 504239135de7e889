"""A minibatch's pairs become tokens with factors, so that a loss over pairs adds up over micro-batches too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tac_rl.learning.batching import TrainRow
from tac_rl.learning.losses.dpo import pair_loss
from tac_rl.learning.metrics import Sums


@dataclass(frozen=True)
class FlatTokens:
    """Per-token constants of a step's T sampled tokens."""

    engine_logprobs_T: Tensor
    advantages_T: Tensor
    old_logprobs_T: Tensor | None
    """None: the policy's own log-probabilities of the moment, without gradient (the first update of a
    step)."""
    reference_logprobs_T: Tensor | None = None
    """Under the reference of a loss over pairs; None for the others."""


def settle_pairs(
    rows: Sequence[TrainRow], flat: FlatTokens, logprobs_T: Tensor, beta: float, sums: Sums
) -> tuple[Tensor, FlatTokens]:
    """The mean loss of the pairs in `rows` (float64), and the tokens with their pair's slope in their advantages.

    `logprobs_T`: under the weights of the moment, for the tokens of `rows`.
    """
    assert flat.reference_logprobs_T is not None
    device = logprobs_T.device
    counts = torch.tensor([len(row.targets) for row in rows])
    slots_N = torch.cat([torch.arange(row.offset, row.offset + len(row.targets)) for row in rows]).to(device)
    pair_of_row = torch.tensor([row.unit for row in rows]).unique(return_inverse=True)[1]
    pair_N = pair_of_row.repeat_interleave(counts).to(device)
    moved_T = flat.advantages_T * (logprobs_T - flat.reference_logprobs_T)
    margins_P = moved_T.new_zeros(int(pair_of_row.max()) + 1, dtype=torch.float64)
    margins_P = margins_P.index_add(0, pair_N, moved_T[slots_N].double())
    loss_P, slope_P = pair_loss(margins_P, beta)
    sums.add(pairs=torch.ones_like(margins_P), pair_accuracy=margins_P > 0, pair_margin=beta * margins_P)
    factors_T = flat.advantages_T.clone()
    factors_T[slots_N] *= slope_P[pair_N].to(factors_T)
    return loss_P.mean(), replace(flat, advantages_T=factors_T)
