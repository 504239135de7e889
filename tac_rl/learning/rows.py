"""Rows on their way to the learner: checked, then carried by files.

A folder holds `groups.json` (who, reward, lengths) and `rows.safetensors` (all rows' tokens end to end):
`token_ids` int32, `sampled` uint8, `logprobs` float32, each of shape [sum of row lengths]. Nothing in it is
code.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tac_rl.errors import LearnerError
from tac_rl.learning.base import GradedRollout, Group, Row

LOGPROB_SLACK = 1e-3
"""Rounding may leave the log-probability of a certain token this much above 0."""


def check_groups(groups: Sequence[Group]) -> None:
    """Raise `LearnerError` naming the rollout and what is wrong with it."""
    seen: set[str] = set()
    for group in groups:
        if not (math.isfinite(group.weight) and group.weight >= 0):
            raise LearnerError(
                f"group {group.group_id}: weight is {group.weight}; it must be a finite number from 0"
            )
        for rollout in group.rollouts:
            where = f"group {group.group_id}, rollout {rollout.rollout_id}"
            if rollout.rollout_id in seen:
                raise LearnerError(f"{where}: the rollout occurs twice; give each rollout an id of its own")
            seen.add(rollout.rollout_id)
            if not math.isfinite(rollout.reward):
                raise LearnerError(f"{where}: reward is {rollout.reward}; rewards must be finite numbers")
            for number, row in enumerate(rollout.rows):
                problem = _problem(row)
                if problem:
                    raise LearnerError(f"{where}, row {number}: {problem}")


def _problem(row: Row) -> str:
    """What is wrong with a row, or nothing."""
    length = len(row.token_ids)
    if not len(row.sampled) == len(row.logprobs) == length:
        return (
            f"token_ids, sampled and logprobs have {length}, {len(row.sampled)} and {len(row.logprobs)} "
            "entries; they must have one per token"
        )
    if length < 2:
        return f"it has {length} tokens; a prompt and a sampled token are the least"
    if row.sampled[0]:
        return "its first token is marked as sampled; a sampled token needs a prompt before it"
    if min(row.token_ids) < 0:
        return f"token id {min(row.token_ids)} is negative"
    for position, (sampled, logprob) in enumerate(zip(row.sampled, row.logprobs, strict=True)):
        if sampled and not -math.inf < logprob <= LOGPROB_SLACK:
            return f"the log-probability of token {position} is {logprob}; it must be finite and at most 0"
    return ""


def pack(groups: Sequence[Group]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Checked groups as a JSON value and arrays, `unpack`'s input."""
    check_groups(groups)
    rows = [row for group in groups for rollout in group.rollouts for row in rollout.rows]
    arrays = {
        "token_ids": _joined([row.token_ids for row in rows], np.int32),
        "sampled": _joined([row.sampled for row in rows], np.uint8),
        "logprobs": _joined([row.logprobs for row in rows], np.float32),
    }
    described = [
        {
            "group_id": group.group_id,
            "task": group.task,
            "weight": group.weight,
            "rollouts": [
                {
                    "rollout_id": rollout.rollout_id,
                    "reward": rollout.reward,
                    "rows": [
                        {"rollout_id": row.rollout_id, "length": len(row.token_ids), "version": row.version}
                        for row in rollout.rows
                    ],
                }
                for rollout in group.rollouts
            ],
        }
        for group in groups
    ]
    return described, arrays


def _joined(parts: Sequence[Sequence[float]], dtype: type) -> np.ndarray:
    return np.array([value for part in parts for value in part], dtype=dtype)


def unpack(described: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> tuple[Group, ...]:
    """The groups again. Raises `KeyError` or `TypeError` where the description is malformed, `LearnerError` where
    description and arrays don't belong together."""
    token_ids, sampled = arrays["token_ids"].tolist(), arrays["sampled"].astype(bool).tolist()
    logprobs = arrays["logprobs"].tolist()
    at = 0
    groups = []
    for group in described:
        rollouts = []
        for rollout in group["rollouts"]:
            rows = []
            for row in rollout["rows"]:
                end = at + row["length"]
                rows.append(
                    Row(
                        row["rollout_id"],
                        tuple(token_ids[at:end]),
                        tuple(sampled[at:end]),
                        tuple(logprobs[at:end]),
                        row["version"],
                    )
                )
                at = end
            rollouts.append(GradedRollout(rollout["rollout_id"], rollout["reward"], tuple(rows)))
        groups.append(Group(group["group_id"], group["task"], tuple(rollouts), group["weight"]))
    if at != len(token_ids):
        raise LearnerError(f"the groups tell of {at} tokens, the arrays have {len(token_ids)}")
    return tuple(groups)


def write_groups(groups: Sequence[Group], folder: Path) -> None:
    """Check groups and write them into the new folder `folder`."""
    described, arrays = pack(groups)
    folder.mkdir(parents=True)
    save_file(arrays, folder / "rows.safetensors")
    (folder / "groups.json").write_text(json.dumps(described), encoding="utf-8")


def read_groups(folder: Path) -> tuple[Group, ...]:
    """What `write_groups` wrote; raises `LearnerError` when the files don't belong together."""
    try:
        described = json.loads((folder / "groups.json").read_text(encoding="utf-8"))
        return unpack(described, load_file(folder / "rows.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise LearnerError(f"{folder}: the rows can't be read ({error}); write them again") from error
    except LearnerError as error:
        raise LearnerError(f"{folder}: {error}; write them again") from error
