"""GRPO: the clipped surrogate of PPO with group-relative advantages.

    l_t = -min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A),   r_t = p(t) / p_old(t)

Source: Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), equation 3. The asymmetric clip range and the
mean over all tokens of the batch are those of DAPO: Yu et al. 2025 (arXiv 2503.14476), sections 3.1 and
3.3.
"""

import torch

from tac_rl.learning.losses.base import Loss, TokenLoss, Tokens
from tac_rl.learning.ratios import log_ratio


def token_loss(tokens: Tokens, lowest: float, highest: float) -> TokenLoss:
    ratio_N = log_ratio(tokens.logprobs_N, tokens.old_logprobs_N).exp()
    free_N = ratio_N * tokens.advantages_N
    clipped_N = ratio_N.clamp(lowest, highest) * tokens.advantages_N
    return TokenLoss(-torch.minimum(free_N, clipped_N), clipped_N < free_N)


GRPO = Loss("grpo", token_loss, clip_low=0.2, clip_high=0.28, normalisation="tokens", scale_rewards=True)
