"""CISPO: the importance weight is clipped, never the gradient.

    l_t = -stop_gradient(clip(r_t, 1 - clip_low, 1 + clip_high)) A log p(t),   r_t = p(t) / p_old(t)

Every token keeps its gradient, also the rare ones (forks of reasoning) that GRPO's clipping silences after
the first minibatch. As in the paper there is no lower bound by default.

Source: MiniMax 2025, "MiniMax-M1" (arXiv 2506.13585), equations 4 and 5; the upper bound of 5 is that of
Khatri et al. 2025, "The Art of Scaling Reinforcement Learning Compute for LLMs" (arXiv 2510.13786).
"""

from tac_rl.learning.losses.base import Loss, TokenLoss, Tokens
from tac_rl.learning.ratios import log_ratio


def token_loss(tokens: Tokens, lowest: float, highest: float) -> TokenLoss:
    ratio_N = log_ratio(tokens.logprobs_N.detach(), tokens.old_logprobs_N).exp()
    weight_N = ratio_N.clamp(lowest, highest)
    return TokenLoss(-weight_N * tokens.advantages_N * tokens.logprobs_N, weight_N != ratio_N)


CISPO = Loss("cispo", token_loss, clip_low=1.0, clip_high=4.0, normalisation="tokens", scale_rewards=True)
