"""Statistics of attempts: intervals, pass@k and pass^k."""

from collections.abc import Sequence
from math import comb, sqrt

Z_95 = 1.959964


def wilson_interval(successes: int, attempts: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson, "Probable inference", 1927)."""
    if attempts == 0:
        return (0.0, 1.0)
    p, z2 = successes / attempts, Z_95**2
    centre = (p + z2 / (2 * attempts)) / (1 + z2 / attempts)
    half = Z_95 * sqrt(p * (1 - p) / attempts + z2 / (4 * attempts**2)) / (1 + z2 / attempts)
    return (max(0.0, centre - half), min(1.0, centre + half))


def pass_at_k(successes: int, attempts: int, k: int) -> float:
    """Chance that at least one of k attempts succeeds, unbiased (Chen and others, arXiv 2107.03374)."""
    if not 1 <= k <= attempts:
        raise ValueError(f"k={k} needs 1 <= k <= attempts={attempts}")
    return 1.0 - comb(attempts - successes, k) / comb(attempts, k)


def pass_hat_k(successes: int, attempts: int, k: int) -> float:
    """Chance that all of k attempts succeed, unbiased (pass^k of tau-bench, arXiv 2406.12045)."""
    if not 1 <= k <= attempts:
        raise ValueError(f"k={k} needs 1 <= k <= attempts={attempts}")
    return comb(successes, k) / comb(attempts, k)


def mean_over_instances(
    successes_and_attempts: Sequence[tuple[int, int]], k: int, *, all_of_k: bool
) -> float | None:
    """Mean of pass@k (or pass^k) over the instances with at least k attempts; None where there is none."""
    estimate = pass_hat_k if all_of_k else pass_at_k
    values = [
        estimate(successes, attempts, k) for successes, attempts in successes_and_attempts if attempts >= k
    ]
    return sum(values) / len(values) if values else None
