"""SFT: maximum likelihood of the tokens that successful rollouts sampled.

    l_t = -log p(t)

The mean is taken over the sampled tokens of all successes together; prompts and tool output are read, not learnt.
On rollouts that the policy has just made this is one round of rejection-sampling fine-tuning (the sources are in
`selection.py`), on those of an earlier run it is a warm start from traces. No importance weights: what is wanted is
the likelihood of these rollouts, not an average over the policy's own.
"""

import torch

from tac_rl.learning.losses.base import Loss, TokenLoss, Tokens


def token_loss(tokens: Tokens, lowest: float, highest: float) -> TokenLoss:
    return TokenLoss(-tokens.logprobs_N, torch.zeros_like(tokens.row_N, dtype=torch.bool))


SFT = Loss(
    "sft",
    token_loss,
    clip_low=0.0,
    clip_high=0.0,
    normalisation="tokens",
    scale_rewards=False,
    learns_from="successes",
)
