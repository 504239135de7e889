"""Engine and learner compute the same policy with different kernels and precisions; this measures and
corrects it.

Truncated importance sampling (Ionides 2008; for this use Yao et al. 2025, "Your Efficient RL Framework
Secretly Brings You Off-Policy RL Training"): tokens were sampled from the engine's distribution, so each
token's loss is multiplied by `min(p_learner / p_engine, cap)`, a constant without gradient.
"""

import torch
from torch import Tensor

from tac_rl.learning.ratios import log_ratio


@torch.no_grad()
def truncated_weights(learner_logprobs_N: Tensor, engine_logprobs_N: Tensor, cap: float) -> Tensor:
    """Weights of N tokens in (0, cap]."""
    return log_ratio(learner_logprobs_N, engine_logprobs_N).exp().clamp(max=cap)


def k3(logprobs_N: Tensor, other_logprobs_N: Tensor) -> Tensor:
    """Per-token estimate of KL(p || other) for tokens sampled from p, in nats, never negative.

    `r - 1 - log r` with `r = other / p` (Schulman 2020, "Approximating KL divergence").
    """
    log_r = log_ratio(other_logprobs_N, logprobs_N)
    return log_r.exp() - 1 - log_r
