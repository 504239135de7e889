"""Rollouts as ART's trajectories and back: real ART, a real gateway, an engine that says what a script tells it."""

import json
from typing import Any

import pytest
from art_helpers import recorded

from tac_rl.errors import LearnerError
from tac_rl.learning.art_types import group_from_art, group_to_art, rollout_from_art, trajectory_of
from tac_rl.learning.base import GradedRollout, Group
from tac_rl.learning.rows import check_groups
from tac_rl.rewards.openpipe import load_art

art = load_art("tests")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings"
)  # ART's unions of OpenAI's types


@pytest.mark.parametrize("rewrite", [False, True])
@pytest.mark.parametrize("through_json", [False, True])
def test_rows_come_back_exactly(rewrite: bool, through_json: bool) -> None:
    recording = recorded(rewrite=rewrite)
    assert len(recording.rows) == (2 if rewrite else 1)
    rollout = GradedRollout("it0001-g0-r0", 0.75, recording.rows)
    group = Group("it0001-g0", "count", (rollout,), 0.25)
    there = group_to_art(group, {rollout.rollout_id: recording.calls})
    if through_json:
        data = json.loads(there.model_dump_json())
        there = art.TrajectoryGroup(
            [art.Trajectory(**t) for t in data["trajectories"]], metadata=data["metadata"]
        )
    back = group_from_art(there, "other")
    relabelled = tuple(row for row in back.rollouts[0].rows)
    assert [(r.token_ids, r.sampled, r.logprobs, r.version) for r in relabelled] == [
        (r.token_ids, r.sampled, r.logprobs, r.version) for r in recording.rows
    ]
    assert (back.group_id, back.task, back.weight) == ("it0001-g0", "count", 0.25)
    assert (back.rollouts[0].rollout_id, back.rollouts[0].reward) == ("it0001-g0-r0", 0.75)
    check_groups([back])


def test_a_trajectory_reads_as_art_s_do_and_shared_turns_are_trained_once() -> None:
    recording = recorded(rewrite=True)
    trajectory = trajectory_of(GradedRollout("r", 1.0, recording.rows), recording.calls)
    [other] = trajectory.additional_histories
    kinds = [type(item).__name__ for item in trajectory.messages_and_choices]
    assert kinds == ["dict", "dict", "Choice", "dict", "Choice"]
    assert [type(item).__name__ for item in other.messages_and_choices] == ["dict"] * 5 + ["Choice"]
    assert trajectory.messages()[2]["tool_calls"][0]["function"]["name"] == "bash"
    assert other.messages()[-1]["content"] == "It is 3."
    choice = trajectory.messages_and_choices[2]
    assert all(entry.token.startswith("token_id:") for entry in choice.logprobs.content)
    sampled = sum(sum(row.sampled) for row in rollout_from_art(trajectory, "r").rows)
    trajectory.additional_histories.append(other.model_copy(deep=True))  # the same choice in one more history
    assert sum(sum(row.sampled) for row in rollout_from_art(trajectory, "r").rows) == sampled


def test_what_cant_be_trained_on_exactly_is_refused_by_name() -> None:
    recording = recorded(rewrite=False)

    def changed(**fields: Any) -> Any:
        trajectory = trajectory_of(GradedRollout("r", 1.0, recording.rows), recording.calls)
        choice = trajectory.messages_and_choices[2]
        trajectory.messages_and_choices[2] = choice.model_copy(update=fields)
        return trajectory

    with pytest.raises(
        LearnerError, match=r"trajectory r, history 0, message 2: the choice has no prompt_token_ids"
    ):
        rollout_from_art(changed(prompt_token_ids=None), "r")
    with pytest.raises(LearnerError, match=r"message 2: \d+ tokens and \d+ log-probabilities"):
        rollout_from_art(changed(token_ids=[1, 2]), "r")
    with pytest.raises(LearnerError, match=r"sampled with temperature 0\.2"):
        rollout_from_art(changed(temperature=0.2), "r")
    plain = changed(logprobs=None)  # a turn that is context, as in ART
    assert sum(sum(r.sampled) for r in rollout_from_art(plain, "r").rows) < sum(
        sum(r.sampled) for r in recording.rows
    )
