"""Where engine and learner compute."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU, or a CPU with the machine's memory."""

    kind: str
    """`cuda`, `mps` or `cpu`."""
    bytes: int
    """Its memory; the machine's for a CPU."""
    name: str
    bfloat16: bool = True
    """Whether it multiplies in bfloat16."""
