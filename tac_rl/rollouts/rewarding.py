"""Grades become rewards: the checker's, and where the config wants it a judge's beside them.

A judge that is down, slow or talks nonsense costs time within bounds and nothing else: its groups keep the checker's
rewards, and the monitor shows what it did.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tac_rl.config.rewards import RulerSection
from tac_rl.learning.base import Group
from tac_rl.rewards.blending import Agreement, agreement, blend, separated
from tac_rl.rewards.ruler import Judgement, Ruler
from tac_rl.rewards.truncation import Message
from tac_rl.rollouts.group import GroupResult
from tac_rl.rollouts.rollout import RolloutResult
from tac_rl.runs.records import JudgementDocument
from tac_rl.runs.store import RunStore


@dataclass
class _Tally:
    """What the judge did in one iteration."""

    asked: int = 0
    """Groups that it was asked about, without those known from before."""
    failures: int = 0
    skipped: int = 0
    """Groups that it was not asked about any more."""
    ties: int = 0
    broken: int = 0
    """Ties whose rewards differ now."""
    cached: int = 0
    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    agreement: Agreement = field(default_factory=Agreement)
    kinds: dict[str, int] = field(default_factory=dict)
    """Failures by kind."""
    last: str = ""
    in_a_row: int = 0

    def count(self, judgement: Judgement) -> None:
        self.calls += judgement.calls
        self.tokens += judgement.tokens
        self.cost_usd += judgement.cost_usd
        self.cached += judgement.cached
        if judgement.cached or judgement.identical:
            return
        self.asked += 1
        if judgement.scores is not None:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        self.failures += 1
        self.kinds[judgement.failure] = self.kinds.get(judgement.failure, 0) + 1
        self.last = judgement.message

    def metrics(self) -> dict[str, float]:
        return {
            "ruler_asked": self.asked,
            "ruler_failures": self.failures,
            "ruler_skipped": self.skipped,
            "ruler_ties": self.ties,
            "ruler_ties_broken": self.broken,
            "ruler_cached": self.cached,
            "ruler_calls": self.calls,
            "ruler_tokens": self.tokens,
            "ruler_cost_usd": self.cost_usd,
            "ruler_pairs": self.agreement.pairs,
            "ruler_pairs_agreed": self.agreement.agreed,
        }


class Rewarder:
    """Gives every group its rewards. Without a judge these are the checker's, untouched."""

    def __init__(self, settings: RulerSection, ruler: Ruler | None, store: RunStore, seed: int) -> None:
        self._settings = settings
        self._ruler = ruler
        self._store = store
        self._seed = seed

    async def reward(
        self, iteration: int, groups: Sequence[Group], results: Sequence[GroupResult]
    ) -> tuple[list[Group], dict[str, float]]:
        """The groups with their final rewards, in their order, and the judge's metrics."""
        if self._ruler is None or self._settings.mode == "off":
            return list(groups), {}
        tally = _Tally()
        by_id = {result.plan.rollout_id: result for group in results for result in group.results}
        gate = asyncio.Semaphore(self._settings.concurrency)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._judge(group, by_id, tally, gate, self._ruler)) for group in groups
            ]
        rewarded = [task.result()[0] for task in running]
        documents = [document for task in running if (document := task.result()[1]) is not None]
        self._store.record_judgements(iteration, documents)
        self._store.record_rewards({r.rollout_id: r.reward for group in rewarded for r in group.rollouts})
        if tally.failures:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
            skipped = f"; {tally.skipped} groups were not tried any more" if tally.skipped else ""
            self._store.event(
                "judge_failed",
                f"no usable answer about {tally.failures} of {tally.asked} groups ({kinds}){skipped}; they keep the "
                f"checker's rewards. The last: {tally.last}",
            )
        return rewarded, tally.metrics()

    async def _judge(
        self,
        group: Group,
        results: Mapping[str, RolloutResult],
        tally: _Tally,
        gate: asyncio.Semaphore,
        ruler: Ruler,
    ) -> tuple[Group, JudgementDocument | None]:
        checker = [rollout.reward for rollout in group.rollouts]
        tied = not separated(checker)
        tally.ties += tied
        if not self._wanted(group, tied):
            return group, None
        async with gate:
            if tally.in_a_row >= self._settings.give_up_after:
                tally.skipped += 1
                return group, None
            attempts = [results[rollout.rollout_id] for rollout in group.rollouts]
            plan = attempts[0].plan
            judgement = await ruler.score(
                plan.instance.instruction, [messages_of(attempt) for attempt in attempts], plan.package.rubric
            )
            tally.count(judgement)
        document = _document(group, checker, judgement)
        if judgement.scores is None or judgement.identical:
            return group, document
        scores = [score.score for score in judgement.scores]
        tally.agreement += agreement(checker, scores)
        mode = self._settings.mode
        assert mode != "off"
        blended = blend(checker, scores, mode, self._settings.weight)
        tally.broken += tied and separated(blended.rewards)
        rollouts = tuple(
            replace(rollout, reward=reward)
            for rollout, reward in zip(group.rollouts, blended.rewards, strict=True)
        )
        return replace(group, rollouts=rollouts, weight=blended.weight), document

    def _wanted(self, group: Group, tied: bool) -> bool:
        if len(group.rollouts) < 2:
            return False
        if tied or self._settings.mode != "ties":
            return True
        digest = hashlib.blake2b(f"{self._seed}/judge/{group.group_id}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / (1 << 48) < self._settings.agreement_share


def messages_of(result: RolloutResult) -> list[Message]:
    """What an attempt did, as a judge reads it; the instruction, which all share, is not in it."""
    messages: list[Message] = []
    for step in result.steps:
        said = step.text
        if step.tool:
            said = f"{said}\n[{step.tool}] {step.arguments}".strip()
        messages.append({"role": "assistant", "content": said})
        if step.result is not None:
            output = step.result.output
            if step.result.exit_code:
                output = f"{output}\n[exit code {step.result.exit_code}]"
            messages.append({"role": "tool", "content": output})
        if step.error:
            messages.append({"role": "tool", "content": step.error})
    ending = f"[the attempt ended: {result.outcome.value.replace('_', ' ')}]"
    if result.changes:
        ending += "\n[what it changed in the company]\n" + "\n".join(result.changes)
    messages.append({"role": "tool", "content": ending})
    return messages


def _document(group: Group, checker: Sequence[float], judgement: Judgement) -> JudgementDocument:
    scores: Sequence[Any] = judgement.scores or [None] * len(checker)
    return {
        "group_id": group.group_id,
        "task": group.task,
        "rollouts": [
            {
                "rollout_id": rollout.rollout_id,
                "checker": reward,
                "score": score.score if score else None,
                "explanation": score.explanation if score else "",
            }
            for rollout, reward, score in zip(group.rollouts, checker, scores, strict=True)
        ],
        "failure": judgement.failure,
        "message": judgement.message,
        "calls": judgement.calls,
        "tokens": judgement.tokens,
        "cost_usd": judgement.cost_usd,
        "seconds": round(judgement.seconds, 3),
        "cached": judgement.cached,
        "identical": judgement.identical,
    }
