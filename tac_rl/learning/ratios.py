"""Probability ratios of sampled tokens, safe to exponentiate."""

from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""Log-ratios are clamped to ± this before `exp`: e^20 is far outside every clip range and far from
overflow."""


def log_ratio(logprobs_N: Tensor, old_logprobs_N: Tensor) -> Tensor:
    """`log(p_new / p_old)` of N tokens, clamped. Outside the limit the gradient is 0."""
    return (logprobs_N - old_logprobs_N).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
