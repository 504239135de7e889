"""The curriculum: weights, levels, backing off, determinism and resume."""

from collections import Counter

import pytest

from tac_rl.config.curriculum import CurriculumSection
from tac_rl.curriculum.sampling import Curriculum

LEVELS = {"easy": 1, "medium": 2, "hard": 3}
ALL_OPEN = CurriculumSection(unlock_after=0)


def test_a_package_with_variance_is_drawn_more_than_solved_and_hopeless_ones() -> None:
    curriculum = Curriculum(LEVELS, ALL_OPEN, seed=1)
    for _ in range(6):
        curriculum.observe("easy", [1.0] * 8)
        curriculum.observe("medium", [1.0, 0.0] * 4)
        curriculum.observe("hard", [0.0] * 8)
    weights = curriculum.weights(iteration=1)
    assert weights["medium"] > 3 * weights["easy"]
    assert weights["medium"] > 3 * weights["hard"]
    assert sum(weights.values()) == pytest.approx(1.0)


def test_nothing_is_ever_forgotten() -> None:
    curriculum = Curriculum(LEVELS, ALL_OPEN, seed=1)
    for _ in range(50):
        curriculum.observe("easy", [1.0] * 8)
        curriculum.observe("medium", [1.0, 0.0] * 4)
    assert curriculum.weights(iteration=1)["easy"] >= ALL_OPEN.uniform_share / 3
    drawn = Counter(draw.task for i in range(60) for draw in curriculum.draw(i, 4))
    assert all(drawn[name] > 5 for name in LEVELS)


def test_a_package_not_drawn_for_long_gains_weight() -> None:
    curriculum = Curriculum(LEVELS, ALL_OPEN, seed=1)
    curriculum.draw(0, 3)
    assert curriculum.weights(30)["easy"] == pytest.approx(curriculum.weights(30)["hard"])
    curriculum._histories["easy"].last_drawn = 29
    assert curriculum.weights(30)["easy"] < curriculum.weights(30)["hard"]


def test_levels_open_on_success_or_in_time() -> None:
    curriculum = Curriculum(LEVELS, CurriculumSection(unlock_after=4, unlock_score=0.5), seed=1)
    assert set(curriculum.weights(0)) == {"easy"}
    assert set(curriculum.weights(4)) == {"easy", "medium"}
    assert set(curriculum.weights(8)) == {"easy", "medium", "hard"}
    curriculum.observe("easy", [0.9, 0.7])
    assert set(curriculum.weights(0)) == {"easy", "medium"}


def test_without_the_curriculum_every_package_is_drawn_equally() -> None:
    curriculum = Curriculum(LEVELS, CurriculumSection(enabled=False), seed=1)
    curriculum.observe("hard", [1.0, 0.0])
    drawn = Counter(draw.task for i in range(100) for draw in curriculum.draw(i, 3))
    assert drawn == {"easy": 100, "medium": 100, "hard": 100}


def test_every_draw_is_a_new_instance() -> None:
    curriculum = Curriculum(LEVELS, ALL_OPEN, seed=1)
    indices = [draw.instance_index for i in range(20) for draw in curriculum.draw(i, 8)]
    assert len(set(indices)) == len(indices) == 160


def test_a_restored_curriculum_goes_on_exactly_where_it_was() -> None:
    first = Curriculum(LEVELS, ALL_OPEN, seed=1)
    for i in range(5):
        for draw in first.draw(i, 4):
            first.observe(draw.task, [0.0, 1.0, 0.5])
    second = Curriculum(LEVELS, ALL_OPEN, seed=999)
    second.restore(first.state())
    assert [first.draw(i, 4) for i in range(5, 15)] == [second.draw(i, 4) for i in range(5, 15)]


def test_a_group_without_graded_rollouts_changes_nothing() -> None:
    curriculum = Curriculum(LEVELS, ALL_OPEN, seed=1)
    before = curriculum.state()
    curriculum.observe("easy", [])
    assert curriculum.state() == before
