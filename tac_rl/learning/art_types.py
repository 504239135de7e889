"""Rollouts as ART's trajectories and back, without loss of what training needs.

In ART an assistant's turn that is trained on is OpenAI's `Choice` with log-probabilities; every other message is a
plain dict. ART renders the prompts anew when it trains. Ours carry the tokens instead, in fields of the choice that
OpenAI's types let pass and vLLM gives too: `prompt_token_ids` (all before the turn), `token_ids` (the turn's), with
one log-probability for each of these, and `policy_version`. From them rows come back exactly, and nothing is ever
tokenised again.

A rollout whose harness rewrote its history has several rows: the first becomes the trajectory's own history, the others
`additional_histories`. Turns that they share are choices in the first of them only, so that none is trained on twice.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tac_rl.errors import LearnerError
from tac_rl.gateway.recording import CallRecord
from tac_rl.learning.base import GradedRollout, Group, Row
from tac_rl.rewards.openpipe import load_art

TOKEN_PREFIX = "token_id:"
"""How ART and vLLM write a token of which only the number is known."""
ROLLOUT = "tac_rl_rollout_id"
"""Keys of a trajectory's and a group's metadata."""
GROUP, TASK, WEIGHT = "tac_rl_group_id", "tac_rl_task", "tac_rl_weight"


def trajectory_of(rollout: GradedRollout, calls: Sequence[CallRecord]) -> Any:
    """A rollout as an `art.Trajectory`. `calls`: the model calls that made its rows (`RolloutResult.calls`)."""
    art = load_art("art.Trajectory")
    histories = [_history(row, number, calls) for number, row in enumerate(rollout.rows)]
    versions = [row.version for row in rollout.rows]
    return art.Trajectory(
        messages_and_choices=histories[0] if histories else [],
        additional_histories=[_new_history(messages) for messages in histories[1:]],
        reward=rollout.reward,
        initial_policy_version=min(versions, default=None),
        final_policy_version=max(versions, default=None),
        metadata={ROLLOUT: rollout.rollout_id},
    )


def group_to_art(group: Group, calls: Mapping[str, Sequence[CallRecord]]) -> Any:
    """A group as an `art.TrajectoryGroup`; `calls` by rollout id."""
    art = load_art("art.TrajectoryGroup")
    return art.TrajectoryGroup(
        [trajectory_of(rollout, calls[rollout.rollout_id]) for rollout in group.rollouts],
        metadata={GROUP: group.group_id, TASK: group.task, WEIGHT: group.weight},
    )


def group_from_art(group: Any, name: str) -> Group:
    """An `art.TrajectoryGroup` as a group; `name` is its id where its metadata has none.

    Trajectories without a trained turn have no rows; exceptions are left out. `LearnerError` names the turn whose
    tokens are unknown.
    """
    metadata = group.metadata
    return Group(
        group_id=str(metadata.get(GROUP, name)),
        task=str(metadata.get(TASK, "art")),
        rollouts=tuple(
            rollout_from_art(trajectory, f"{metadata.get(GROUP, name)}-r{number}")
            for number, trajectory in enumerate(group.trajectories)
        ),
        weight=float(metadata.get(WEIGHT, 1.0)),
    )


def rollout_from_art(trajectory: Any, name: str) -> GradedRollout:
    """An `art.Trajectory` as a rollout; `name` is its id where its metadata has none."""
    name = str(trajectory.metadata.get(ROLLOUT, name))
    histories = [trajectory, *trajectory.additional_histories]
    rows: list[_Row] = []
    seen: set[tuple[Any, ...]] = set()
    for history_number, history in enumerate(histories):
        open_rows: list[_Row] = []
        for position, item in enumerate(history.messages_and_choices):
            choice = _choice_of(item)
            if choice is None:
                continue
            turn = _turn(choice, f"trajectory {name}, history {history_number}, message {position}")
            if (key := turn.key) in seen:
                continue  # ART trains a choice once for each history that it is in
            seen.add(key)
            row = next((r for r in reversed(open_rows) if r.continued_by(turn)), None)
            if row is None:
                row = _Row()
                open_rows.append(row)
                rows.append(row)
            row.add(turn)
    return GradedRollout(name, float(trajectory.reward), tuple(row.finished(name) for row in rows))


class _Turn:
    """A sampled turn: all tokens before it, its own, and their log-probabilities."""

    def __init__(
        self, prompt: Sequence[int], tokens: Sequence[int], logprobs: Sequence[float], version: int
    ) -> None:
        self.prompt, self.tokens = tuple(prompt), tuple(tokens)
        self.logprobs, self.version = tuple(logprobs), version

    @property
    def key(self) -> tuple[Any, ...]:
        return self.prompt, self.tokens, self.logprobs


class _Row:
    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.sampled: list[bool] = []
        self.logprobs: list[float] = []
        self.versions: list[int] = []

    def continued_by(self, turn: _Turn) -> bool:
        return turn.prompt[: len(self.token_ids)] == tuple(self.token_ids)

    def add(self, turn: _Turn) -> None:
        context = turn.prompt[len(self.token_ids) :]
        self.token_ids += (*context, *turn.tokens)
        self.sampled += [False] * len(context) + [True] * len(turn.tokens)
        self.logprobs += [0.0] * len(context) + list(turn.logprobs)
        self.versions.append(turn.version)

    def finished(self, rollout_id: str) -> Row:
        # A conversation that outlived a step is as old as its first turn.
        version = min(self.versions)
        return Row(rollout_id, tuple(self.token_ids), tuple(self.sampled), tuple(self.logprobs), version)


def _choice_of(item: Any) -> Mapping[str, Any] | None:
    """A trained turn's fields, or None for context. Choices that went through JSON are dicts."""
    fields = item if isinstance(item, Mapping) else item.model_dump()
    if "message" not in fields or "finish_reason" not in fields or not fields.get("logprobs"):
        return None
    return fields


def _turn(choice: Mapping[str, Any], where: str) -> _Turn:
    content = (choice["logprobs"] or {}).get("content") or []
    prompt, tokens = choice.get("prompt_token_ids"), choice.get("token_ids")
    if tokens is None and all(str(entry["token"]).startswith(TOKEN_PREFIX) for entry in content):
        tokens = [int(str(entry["token"]).removeprefix(TOKEN_PREFIX)) for entry in content]
    if not prompt or tokens is None:
        raise LearnerError(
            f"{where}: the choice has no prompt_token_ids and token_ids, and text is never tokenised for training; "
            "sample it from this backend's endpoint (model.openai_client()), or add it as a plain message"
        )
    for name in ("temperature", "top_p"):
        if choice.get(name) not in (None, 1, 1.0):
            raise LearnerError(
                f"{where}: sampled with {name} {choice[name]}; what is trained on is sampled with {name} 1"
            )
    if len(tokens) != len(content):
        raise LearnerError(
            f"{where}: {len(tokens)} tokens and {len(content)} log-probabilities; each needs one"
        )
    return _Turn(
        prompt, tokens, [float(e["logprob"]) for e in content], int(choice.get("policy_version") or 0)
    )


def _history(row: Row, number: int, calls: Sequence[CallRecord]) -> list[Any]:
    """The messages and choices of row `number`."""
    by_index = {call.index: call for call in calls}
    leaf = next(
        (c for c in reversed(calls) if c.row == number and c.prompt_tokens + c.completion_tokens == len(row.token_ids)),
        None,
    )  # fmt: skip
    if leaf is None:
        raise LearnerError(
            f"rollout {row.rollout_id}: row {number} was made by none of the calls given with it"
        )
    chain = [leaf]
    while (parent := chain[-1].continues) is not None:
        chain.append(by_index[parent])
    items: list[Any] = []
    for call in reversed(chain):
        items += [_openai(message) for message in call.messages]
        items.append(_choice(row, call) if call.row == number else dict(call.reply))
    return items


def _openai(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as OpenAI has it: recorded ones have calls' arguments as chat templates want them."""
    fields = dict(message)
    if calls := fields.get("tool_calls"):
        fields["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _text(call["function"]["arguments"])}}
            for call in calls
        ]
    return fields


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _choice(row: Row, call: CallRecord) -> Any:
    from openai.types.chat.chat_completion import Choice

    begin, end = call.prompt_tokens, call.prompt_tokens + call.completion_tokens
    tokens, logprobs = row.token_ids[begin:end], row.logprobs[begin:end]
    entries: list[dict[str, Any]] = [
        {"token": f"{TOKEN_PREFIX}{token}", "logprob": logprob, "bytes": None, "top_logprobs": []}
        for token, logprob in zip(tokens, logprobs, strict=True)
    ]
    return Choice.model_validate(
        {
            "index": 0,
            "finish_reason": call.finish_reason or "stop",
            "message": call.reply,
            "logprobs": {"content": entries, "refusal": None},
            "prompt_token_ids": list(row.token_ids[:begin]),
            "token_ids": list(tokens),
            "policy_version": row.version,
        }
    )


def _new_history(messages: list[Any]) -> Any:
    from art.trajectories import History

    return History(messages_and_choices=messages)
