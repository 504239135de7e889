"""From the calls of one rollout to rows: every sampled token exactly once, in the context it was made in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tac_rl.gateway.messages import Message
from tac_rl.gateway.protocol import FinishReason
from tac_rl.learning.base import Row


@dataclass
class Call:
    """One model call. Calls form trees: a child continues the tokens of its parent."""

    index: int
    parent: "Call | None"
    messages: tuple[Message, ...]
    """What came since the parent's reply; the whole history where there is no parent."""
    new_ids: tuple[int, ...]
    """Prompt tokens after the parent's last token; the whole prompt where there is no parent."""
    prompt_digest: bytes
    seed: int | None
    offers_tools: bool = False
    """The request offered tools."""
    task: "asyncio.Task[None] | None" = None
    completion_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    reply: dict[str, Any] = field(default_factory=dict)
    finish_reason: FinishReason | None = None
    """None until the engine has answered."""
    delivered: bool = False
    """The client was there to take the answer."""
    requests: int = 1
    """How often the client sent this call."""
    engine_seconds: float = 0.0

    def prompt_ids(self) -> list[int]:
        """The tokens that the engine gets."""
        chain = self.lineage()
        ids: list[int] = []
        for call in chain[:-1]:
            ids.extend(call.new_ids)
            ids.extend(call.completion_ids)
        ids.extend(self.new_ids)
        return ids

    def prompt_tokens(self) -> int:
        return len(self.new_ids) + sum(len(c.new_ids) + len(c.completion_ids) for c in self.lineage()[:-1])

    def lineage(self) -> list["Call"]:
        """The calls from the root of the tree to this one."""
        chain = [self]
        while (parent := chain[-1].parent) is not None:
            chain.append(parent)
        return chain[::-1]


@dataclass(frozen=True)
class CallRecord:
    """One model call, for whoever reads the trajectory."""

    index: int
    row: int | None
    """Position of its row in `Recording.rows`; None where its tokens are in none (never delivered, or no turn)."""
    continues: int | None
    """Index of the call whose tokens it continues; None where a history began or was rewritten."""
    messages: tuple[Message, ...]
    """The messages since that call's reply, or the whole history."""
    reply: dict[str, Any]
    """The assistant message as it was sent."""
    finish_reason: FinishReason | None
    prompt_tokens: int
    completion_tokens: int
    requests: int
    engine_seconds: float


@dataclass(frozen=True)
class Recording:
    """Everything the model read and wrote in one rollout."""

    rollout_id: str
    version: int
    rows: tuple[Row, ...]
    calls: tuple[CallRecord, ...]
    engine_seconds: float
    """Seconds spent waiting for the engine, summed over the calls."""
    infrastructure_error: str | None
    """Why the rollout says nothing about the policy, if so."""


def record(
    rollout_id: str, version: int, calls: Sequence[Call], infrastructure_error: str | None
) -> Recording:
    """The recording of `calls` (in the order in which they were begun).

    A row is a path from a first prompt to a reply that nothing continues. Where a history was continued in
    two ways, the shared calls are sampled tokens in the first of the rows and context in the others.
    Replies that no client took had no effect on the world, and are left out. So are calls without tools of an agent
    that has tools: titles and summaries that a harness asks for beside its work are no turns of the agent.
    """
    has_tools = any(call.offers_tools for call in calls)
    taken = [
        call
        for call in calls
        if call.finish_reason is not None and call.delivered and (call.offers_tools or not has_tools)
    ]
    continued = {id(call.parent) for call in taken}
    row_of: dict[int, int] = {}
    rows: list[Row] = []
    for leaf in taken:
        if id(leaf) in continued:
            continue
        chain = leaf.lineage()
        rows.append(_row(rollout_id, version, chain, known=row_of))
        for call in chain:
            row_of.setdefault(call.index, len(rows) - 1)
    return Recording(
        rollout_id=rollout_id,
        version=version,
        rows=tuple(rows),
        calls=tuple(_call_record(call, row_of.get(call.index)) for call in calls),
        engine_seconds=sum(call.engine_seconds for call in calls),
        infrastructure_error=infrastructure_error,
    )


def _row(rollout_id: str, version: int, chain: Sequence[Call], known: dict[int, int]) -> Row:
    token_ids: list[int] = []
    sampled: list[bool] = []
    logprobs: list[float] = []
    for call in chain:
        context, completion = len(call.new_ids), len(call.completion_ids)
        fresh = call.index not in known
        token_ids += (*call.new_ids, *call.completion_ids)
        sampled += [False] * context + [fresh] * completion
        logprobs += [0.0] * context + (list(call.logprobs) if fresh else [0.0] * completion)
    return Row(rollout_id, tuple(token_ids), tuple(sampled), tuple(logprobs), version)


def _call_record(call: Call, row: int | None) -> CallRecord:
    return CallRecord(
        index=call.index,
        row=row,
        continues=None if call.parent is None else call.parent.index,
        messages=call.messages,
        reply=call.reply,
        finish_reason=call.finish_reason,
        prompt_tokens=call.prompt_tokens(),
        completion_tokens=len(call.completion_ids),
        requests=call.requests,
        engine_seconds=call.engine_seconds,
    )
