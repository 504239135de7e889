"""TAC's scoring, as evaluators use it and as the host reads its result."""

import json
import subprocess
import sys

import pytest
from tasks_fakes import KIT, kit_modules

from tac_rl.tasks.base import Checkpoint, Grade
from tac_rl.tasks.grading import grade_from_result


@pytest.fixture
def scoring():
    with kit_modules("scoring") as [module]:
        yield module


def results(scoring, *pairs):
    return [scoring.Checkpoint(total, result) for total, result in pairs]


@pytest.mark.parametrize(
    ("total", "result", "error"),
    [(2, 3, ValueError), (-1, 0, ValueError), (1, -1, ValueError), (1.0, 1, TypeError), (1, "1", TypeError)],
)
def test_a_checkpoint_that_makes_no_sense_is_refused(scoring, total, result, error):
    with pytest.raises(error):
        scoring.Checkpoint(total, result)


def test_booleans_count_as_integers(scoring):
    result = scoring.Result([scoring.Checkpoint(1, True), scoring.Checkpoint(total=2, result=False)])
    assert result.final_score == {"total": 3, "result": 1}
    assert json.loads(json.dumps(result.to_dict()))["checkpoints"][0] == {"total": 1, "result": True}


def test_without_a_strategy_the_score_is_the_plain_sum(scoring):
    assert scoring.Result(results(scoring, (1, 1), (3, 2))).final_score == {"total": 4, "result": 3}


@pytest.mark.parametrize(
    ("pairs", "score"),
    [(((1, 0), (2, 0), (3, 3)), 6), (((1, 1), (2, 1), (3, 2)), 4), ((), 0)],
)
def test_completing_the_final_checkpoint_gives_everything(scoring, pairs, score):
    assert scoring.bonus_for_completing_final(results(scoring, *pairs))["result"] == score


@pytest.mark.parametrize(
    ("pairs", "score"),
    [(((2, 0), (2, 2), (3, 1)), 5), (((2, 1), (2, 1), (3, 1)), 3), (((2, 2), (2, 0)), 2), ((), 0)],
)
def test_completing_any_checkpoint_credits_the_first(scoring, pairs, score):
    assert scoring.bonus_for_completing_any(results(scoring, *pairs))["result"] == score


def test_only_the_given_checkpoints_count_and_they_count_from_one(scoring):
    strategy = scoring.bonus_for_completing_any_of_given_checkpoints([3])
    assert strategy(results(scoring, (2, 0), (1, 1), (1, 0)))["result"] == 1
    assert strategy(results(scoring, (2, 0), (1, 0), (1, 1)))["result"] == 3
    with pytest.raises(ValueError, match="from 1"):
        strategy(results(scoring, (2, 0)))


def test_results_survive_the_trip_through_a_dict(scoring):
    strategy = scoring.bonus_for_completing_final
    result = scoring.Result(results(scoring, (1, 0), (1, 1)), strategy)
    again = scoring.Result.from_dict(result.to_dict(), strategy)
    assert again.checkpoints == result.checkpoints
    assert again.final_score == {"total": 2, "result": 2}


@pytest.mark.parametrize("checkpoints", [None, (), [1], "x"])
def test_a_result_takes_a_list_of_checkpoints_only(scoring, checkpoints):
    with pytest.raises(TypeError):
        scoring.Result(checkpoints)


def test_eval_py_is_tacs_command_line(tmp_path):
    (tmp_path / "evaluator.py").write_text(
        "from scoring import *\n"
        "def grade_checkpoints(trajectory=''):\n"
        "    return Result([Checkpoint(2, int('found' in trajectory)), Checkpoint(1, True)])\n"
    )
    (tmp_path / "log.txt").write_text("found it")
    for name in ("eval.py", "scoring.py", "common.py"):
        (tmp_path / name).write_bytes((KIT / name).read_bytes())
    command = [sys.executable, "eval.py", "--trajectory_path", "log.txt", "--result_path", "out.json"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=30)
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "checkpoints": [{"total": 2, "result": 1}, {"total": 1, "result": True}],
        "final_score": {"total": 3, "result": 2},
    }


def test_eval_py_writes_nothing_where_grading_fails(tmp_path):
    (tmp_path / "evaluator.py").write_text("def grade_checkpoints(trajectory=''):\n    return 7\n")
    for name in ("eval.py", "scoring.py", "common.py"):
        (tmp_path / name).write_bytes((KIT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "eval.py"], cwd=tmp_path, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert b"must return a scoring.Result, got int" in done.stderr
    assert not (tmp_path / "result.json").exists()


def test_the_host_reads_tacs_result_with_booleans():
    document = {
        "checkpoints": [{"total": 1, "result": True}, {"total": 3, "result": 1}],
        "final_score": {"total": 4, "result": 2},
    }
    grade = grade_from_result(document)
    assert grade == Grade((Checkpoint(1, 1), Checkpoint(3, 1)), 4, 2)
    assert grade.score == 0.25
    assert not grade.complete


GOOD = [{"total": 1, "result": 1}]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"checkpoints": GOOD},
        {"checkpoints": [], "final_score": {"total": 0, "result": 0}},
        {"checkpoints": GOOD, "final_score": {"total": 1, "result": 1}, "more": 1},
        {"checkpoints": [{"total": 1, "result": 2}], "final_score": {"total": 1, "result": 1}},
        {"checkpoints": [{"total": 1, "result": -1}], "final_score": {"total": 1, "result": 0}},
        {"checkpoints": [{"total": 1, "result": 0.5}], "final_score": {"total": 1, "result": 0}},
        {"checkpoints": [{"total": 1}], "final_score": {"total": 1, "result": 0}},
        {"checkpoints": GOOD, "final_score": {"total": 2, "result": 2}},
        {"checkpoints": GOOD, "final_score": {"total": 1, "result": 2}},
        {"checkpoints": [{"total": 0, "result": 0}], "final_score": {"total": 0, "result": 0}},
    ],
)
def test_the_host_refuses_every_other_result(document):
    with pytest.raises(ValueError):
        grade_from_result(document)
