"""Sample one token for each row of logits, each row with settings and random numbers of its own.

Inverse transform sampling: a uniform number picks the token at which the cumulative probability passes
it. The number comes from the request's own stream, so what else is in the batch doesn't matter. Nucleus
sampling (top_p) as in arXiv 1904.09751.
"""

from collections.abc import Sequence

import numpy as np
import torch

from tac_rl.serving.base import Sampling


def uniform_stream(sampling: Sampling, count: int) -> list[float]:
    """`count` numbers in [0, 1) for one request: always the same for the same seed."""
    return np.random.Generator(np.random.Philox(sampling.seed)).random(count).tolist()


def sample_rows(
    logits: torch.Tensor, settings: Sequence[Sampling], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Token ids and log-probabilities for `logits` (rows, vocab), one `Sampling` and number a row.

    The log-probability is that of the distribution sampled from: after temperature and top_p. A greedy
    row (temperature 0) reports it at temperature 1, because its own would always be 0.
    """
    if any(s.temperature not in (0.0, 1.0) for s in settings):
        temperatures = torch.tensor([s.temperature or 1.0 for s in settings], device=logits.device)
        logits = logits / temperatures[:, None]
    logprobs = logits.log_softmax(-1)
    nucleus = [row for row, s in enumerate(settings) if s.top_p < 1.0 and s.temperature > 0.0]
    if nucleus:
        limits = torch.tensor([settings[row].top_p for row in nucleus], device=logits.device)
        logprobs[nucleus] = _nucleus(logprobs[nucleus], limits)
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    drawn = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, drawn, right=True).clamp_(max=logits.shape[1] - 1)
    greedy = [row for row, s in enumerate(settings) if s.temperature == 0.0]
    if greedy:
        tokens[greedy] = logits[greedy].argmax(-1, keepdim=True)
    chosen = logprobs.gather(1, tokens)
    return tokens[:, 0].tolist(), chosen[:, 0].tolist()


def _nucleus(logprobs: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Keep the fewest most likely tokens whose probabilities reach `top_p`, renormalised."""
    ordered, order = logprobs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    cut = before >= top_p[:, None]
    cut[:, 0] = False  # The most likely token always stays.
    ordered = ordered.masked_fill(cut, -torch.inf)
    return torch.empty_like(logprobs).scatter_(-1, order, ordered).log_softmax(-1)
