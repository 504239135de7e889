"""GSPO: one importance ratio a sequence.

    s = exp(1 / |y| * sum over t of log(p(t) / p_old(t)))
    l_t = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A)     for every token t of the sequence y

The sequence is a row: the tokens that the policy saw and made as one context. The ratio is a geometric
mean, so its clip range is three orders of magnitude narrower than GRPO's.

Source: Zheng et al. 2025, "Group Sequence Policy Optimization" (arXiv 2507.18071), equations 5 to 7; the clip
range is that of section 5.1.
"""

import torch

from tac_rl.learning.losses.base import Loss, TokenLoss, Tokens
from tac_rl.learning.ratios import log_ratio


def token_loss(tokens: Tokens, lowest: float, highest: float) -> TokenLoss:
    log_ratio_N = log_ratio(tokens.logprobs_N, tokens.old_logprobs_N)
    sums_R = log_ratio_N.new_zeros(tokens.rows).index_add(0, tokens.row_N, log_ratio_N)
    lengths_R = torch.bincount(tokens.row_N, minlength=tokens.rows).clamp(min=1)
    ratio_N = (sums_R / lengths_R).exp()[tokens.row_N]
    free_N = ratio_N * tokens.advantages_N
    clipped_N = ratio_N.clamp(lowest, highest) * tokens.advantages_N
    return TokenLoss(-torch.minimum(free_N, clipped_N), clipped_N < free_N)


GSPO = Loss("gspo", token_loss, clip_low=3e-4, clip_high=4e-4, normalisation="rollouts", scale_rewards=True)
