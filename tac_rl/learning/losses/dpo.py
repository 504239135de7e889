"""DPO: the better rollout of a pair is made more probable than the worse one, measured against a reference.

    m = sum over the better's tokens of log(p(t) / p_ref(t)) - the same sum over the worse's
    l = -log sigmoid(beta m)          for each pair; their mean is minimised

The sums run over the sampled tokens of all rows of a rollout, which may be in different micro-batches. So the margins
m of a minibatch are computed first, without gradient (`pair_loss`), and then each token adds its share of the gradient:
dl/dm = -beta sigmoid(-beta m), the same for all tokens of a pair but for the sign. That is exact, and memory stays
bounded by a micro-batch and not by a pair.

Source: Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
(arXiv 2305.18290), equation 7 and its gradient in section 4.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tac_rl.learning.losses.base import Loss, TokenLoss, Tokens


def pair_loss(margins_P: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Loss of each of P pairs, and by how much it falls with its margin."""
    return -logsigmoid(beta * margins_P), beta * torch.sigmoid(-beta * margins_P)


def token_loss(tokens: Tokens, lowest: float, highest: float) -> TokenLoss:
    """`advantages_N` is the pair's slope, negative for the worse rollout. The value is 0: it is in `pair_loss`."""
    moved_N = tokens.logprobs_N - tokens.logprobs_N.detach()
    return TokenLoss(-tokens.advantages_N * moved_N, torch.zeros_like(tokens.row_N, dtype=torch.bool))


DPO = Loss(
    "dpo",
    token_loss,
    clip_low=0.0,
    clip_high=0.0,
    normalisation="pairs",
    scale_rewards=False,
    learns_from="pairs",
)
