"""What every loss is given and gives back.

A loss is a function of single tokens: how they are averaged (`normalisation`) is decided outside, before the
tokens are split into micro-batches, so that no split changes a gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Normalisation = Literal["tokens", "rollouts", "constant", "pairs"]
LearnsFrom = Literal["advantages", "successes", "pairs"]


@dataclass(frozen=True)
class Tokens:
    """The N sampled tokens of a micro-batch of R rows; a row's tokens are all in the same micro-batch."""

    logprobs_N: Tensor
    """Log-probabilities under the weights being trained, with gradient."""
    old_logprobs_N: Tensor
    """Log-probabilities that the clipped ratio is taken against."""
    advantages_N: Tensor
    """What `selection.py` gives each rollout; for a loss over pairs, times the slope of its pair's loss."""
    row_N: Tensor
    """Which of the R rows a token belongs to (int64)."""
    rows: int


@dataclass(frozen=True)
class TokenLoss:
    loss_N: Tensor
    """To be minimised, before weighting."""
    clipped_N: Tensor
    """True where clipping took the gradient away, or for CISPO changed the weight."""


@dataclass(frozen=True)
class Loss:
    """One surrogate with its paper's settings; the config may override each of them."""

    name: str
    token_loss: Callable[[Tokens, float, float], TokenLoss]
    """(tokens, lowest ratio, highest ratio) -> loss per token."""
    clip_low: float
    """The ratio is clipped below at 1 - clip_low."""
    clip_high: float
    """The ratio is clipped above at 1 + clip_high."""
    normalisation: Normalisation
    scale_rewards: bool
    """Whether advantages are divided by the group's standard deviation."""
    learns_from: LearnsFrom = "advantages"
    """What of a step's groups it is given (`selection.py`). Only the first estimates an average over the policy's own
    rollouts, so only there are importance weights in place."""
