"""Outcomes and statistics: one row for every ending, and estimators against exact enumeration."""

from itertools import combinations

import pytest

from tac_rl.agents.base import Ending
from tac_rl.rollouts.outcomes import CONSEQUENCES, Outcome, outcome_of
from tac_rl.rollouts.statistics import mean_over_instances, pass_at_k, pass_hat_k, wilson_interval


def test_every_outcome_has_its_row_and_every_ending_its_outcome() -> None:
    assert set(CONSEQUENCES) == set(Outcome)
    assert {outcome_of(ending) for ending in Ending} == set(Outcome) - {Outcome.INFRASTRUCTURE_FAILED}


def test_an_infrastructure_failure_is_neither_graded_nor_trained_on_nor_counted() -> None:
    row = CONSEQUENCES[Outcome.INFRASTRUCTURE_FAILED]
    assert (row.graded, row.trained_on, row.counted, row.retried) == (False, False, False, True)
    assert not any(CONSEQUENCES[outcome].retried for outcome in Outcome if CONSEQUENCES[outcome].counted)


@pytest.mark.parametrize(("successes", "attempts", "k"), [(0, 5, 2), (2, 5, 1), (2, 5, 3), (5, 5, 5), (1, 4, 4)])
def test_pass_estimators_equal_enumeration(successes: int, attempts: int, k: int) -> None:
    results = [1] * successes + [0] * (attempts - successes)
    draws = list(combinations(results, k))
    assert pass_at_k(successes, attempts, k) == pytest.approx(sum(any(d) for d in draws) / len(draws))
    assert pass_hat_k(successes, attempts, k) == pytest.approx(sum(all(d) for d in draws) / len(draws))


@pytest.mark.parametrize("k", [0, 6])
def test_k_outside_of_the_attempts_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="attempts=5"):
        pass_at_k(2, 5, k)


def test_instances_with_fewer_than_k_attempts_are_left_out() -> None:
    assert mean_over_instances([(1, 1), (2, 4)], 2, all_of_k=False) == pytest.approx(pass_at_k(2, 4, 2))
    assert mean_over_instances([(1, 1)], 2, all_of_k=True) is None


def test_wilson_interval_known_values() -> None:
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(20, 20)[1] == pytest.approx(1.0)
    assert wilson_interval(0, 0) == (0.0, 1.0)
