"""Muon in float32 (Keller Jordan, 2024, https://kellerjordan.github.io/posts/muon/), as `torch.optim.Muon` in all else.

torch's own computes its Newton-Schulz steps in bfloat16 whatever the processor can do. Without instructions for it
that takes a hundred times as long, and the tiny policy's steps seconds instead of tenths.
"""

import math
from collections.abc import Iterable

import torch

COEFFICIENTS = (3.4445, -4.775, 2.0315)
STEPS = 5
EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for parameters that are matrices."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], *, lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update (Nesterov's momentum) of every parameter that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
                mean.lerp_(gradient, 1 - momentum)
                update = orthogonal(gradient.lerp(mean, momentum))
                rows, columns = parameter.shape
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix [R, C] with its singular values moved close to 1, by a quintic Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=EPSILON)  # no singular value above 1
    for _ in range(STEPS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if tall else found
