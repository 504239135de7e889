"""Dr. GRPO: GRPO without its two biases.

The surrogate is GRPO's with a symmetric clip range. What differs is around it: advantages are not divided
by the group's standard deviation (a bias towards very easy and very hard tasks), and the sum over a
rollout's tokens is divided by a constant and not by its length (a bias towards long failures):

    L = 1 / (rollouts * constant_tokens) * sum over all tokens of l_t

Source: Liu et al. 2025, "Understanding R1-Zero-Like Training" (arXiv 2503.20783), section 3.2.
"""

from tac_rl.learning.losses.base import Loss
from tac_rl.learning.losses.grpo import token_loss

DR_GRPO = Loss(
    "dr_grpo", token_loss, clip_low=0.2, clip_high=0.2, normalisation="constant", scale_rewards=False
)
