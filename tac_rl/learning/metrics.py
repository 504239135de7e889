"""Adding up, over micro-batches and on the device, what a step's metrics are averages of."""

import math

import torch
from torch import Tensor


def sum_dtype(device: torch.device) -> torch.dtype:
    """What is added up in: float64, which Apple's GPUs don't have."""
    return torch.float32 if device.type == "mps" else torch.float64


class Sums:
    """Running sums; nothing leaves the device before it is asked for."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.highest: dict[str, Tensor] = {}

    def add(self, **values: Tensor) -> None:
        """Add the sum of each tensor under its name."""
        for name, value in values.items():
            total = value.detach().to(sum_dtype(value.device)).sum()
            self.totals[name] = self.totals[name] + total if name in self.totals else total

    def keep_max(self, **values: Tensor) -> None:
        """Remember each tensor's largest element under its name."""
        for name, value in values.items():
            highest = value.detach().max()
            self.highest[name] = torch.maximum(self.highest.get(name, highest), highest)

    def total(self, name: str) -> float:
        return float(self.totals[name]) if name in self.totals else 0.0

    def mean(self, name: str) -> float:
        """Average over sampled tokens; NaN where none was computed."""
        tokens = self.total("tokens")
        return self.total(name) / tokens if tokens else math.nan

    def max(self, name: str) -> float:
        return float(self.highest[name]) if name in self.highest else math.nan
