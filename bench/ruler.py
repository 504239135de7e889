"""RULER in a run: ties broken in the right order, groups lost to bad answers, and the judge's share of the time.

    python bench/ruler.py [--iterations 6] [--groups 12] [--bad-share 0.0] [--set a.b=c ...]

A short run of the tiny policy (`tac_rl/train.py`, as a user starts it) with `rewards.ruler.mode=ties`, whose judge is
a scripted one in this process: a shorter trajectory is better, and a share of its answers is bad, of ten kinds in turn.
One JSON line.
"""

import argparse
import asyncio
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from aiohttp import web

from tac_rl.rewards.blending import TIE
from tac_rl.runs.reader import RunReader

RUN_TIMEOUT_S = 1500
SHOWN = re.compile(r'<trajectory id="(\d+)">\n(.*?)\n</trajectory>', re.DOTALL)


class ScriptedJudge:
    """A stand-in for a judge: answers at once, by the length of what it is shown."""

    def __init__(self, bad_share: float) -> None:
        self.bad_share = bad_share
        self.asked = 0
        self.bad = 0

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked += 1
        shown: list[tuple[str, str]] = SHOWN.findall(body["messages"][-1]["content"])
        scores: list[dict[str, Any]] = [
            {"trajectory_id": name, "explanation": "shorter is better", "score": 1 / (1 + len(text) / 500)}
            for name, text in shown
        ]
        if self.bad < self.bad_share * self.asked:
            self.bad += 1
            return self._bad(self.bad % 10, scores)
        return self._says(json.dumps({"scores": scores[::-1]}))

    def _bad(self, kind: int, scores: list[dict[str, Any]]) -> web.Response:
        first, *rest = scores
        if kind == 0:
            return web.Response(status=500, text="overloaded")
        if kind == 1:
            return web.Response(text="<!doctype html><html>Please log in.</html>", content_type="text/html")
        texts = [
            "All did well.",
            json.dumps({"scores": scores})[:-20],
            json.dumps({"scores": rest}),
            json.dumps({"scores": [first, *scores]}),
            json.dumps({"scores": [{**first, "score": 7.5}, *rest]}),
            json.dumps({"scores": [{**first, "score": "high"}, *rest]}),
            json.dumps({"scores": [{**first, "trajectory_id": "first"}, *rest]}),
            "",
        ]
        return self._says(texts[kind - 2])

    def _says(self, text: str) -> web.Response:
        message = {"role": "assistant", "content": text}
        return web.json_response({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


async def measure(args: argparse.Namespace, runs: Path) -> dict[str, object]:
    judge = ScriptedJudge(args.bad_share)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", judge.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    overrides = {
        "runs_dir": runs,
        "iterations": args.iterations,
        "rollouts.groups": args.groups,
        "rollouts.group_size": 3,  # small groups tie often
        "rollouts.min_group": 2,
        "evaluation.every": 0,
        "evaluation.final_attempts": 12,
        "rewards.ruler.mode": "ties",
        "rewards.ruler.agreement_share": 0.5,
        "rewards.ruler.retries": 0 if args.bad_share else 2,
        "rewards.ruler.judge.base_url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
        "rewards.ruler.judge.model": "scripted",
    }
    command = [sys.executable, "tac_rl/train.py", "--config", "configs/tiny_cpu.yaml", "--name", "ruler"]
    command += [f"--set={name}={value}" for name, value in overrides.items()]
    command += [f"--set={override}" for override in args.overrides]
    started = time.monotonic()
    try:
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    finally:
        await runner.cleanup()
    if done.returncode != 0:
        raise SystemExit(f"the run failed:\n{done.stdout}\n{done.stderr}")
    return {
        "bench": "ruler",
        "art": importlib.metadata.version("openpipe-art"),
        "run_seconds": round(time.monotonic() - started, 1),
        "judge_asked": judge.asked,
        "judge_bad_answers": judge.bad,
        **summary(runs / "ruler"),
    }


def summary(run: Path) -> dict[str, object]:
    """What the run directory says: orders, lost groups, time."""
    with RunReader(run) as reader:
        iterations = [i for i in reader.iterations() if i.finished is not None]
        right = wrong = lost = changed = 0
        for iteration in iterations:
            rewards = {r.rollout_id: (r.score, r.reward) for r in reader.rollouts(iteration=iteration.n)}
            for judgement in reader.judgements(iteration.n):
                rollouts = judgement["rollouts"]
                lost += any(rewards[r["rollout_id"]][1] is None for r in rollouts)
                checker = [r["checker"] for r in rollouts]
                if max(checker) - min(checker) >= TIE:
                    changed += any(rewards[r["rollout_id"]][1] != r["checker"] for r in rollouts)
                    continue
                pairs = [
                    (r["score"], rewards[r["rollout_id"]][1]) for r in rollouts if r["score"] is not None
                ]
                good, bad = _order(pairs)
                right, wrong = right + good, wrong + bad
        metrics = [i.metrics for i in iterations]
        timing = {phase: sum(i.timing.get(phase, 0.0) for i in iterations) for phase in iterations[-1].timing}
    total = sum(timing.values())
    pairs_seen = sum(m["ruler_pairs"] for m in metrics)
    return {
        "iterations": len(iterations),
        "ties": int(sum(m["ruler_ties"] for m in metrics)),
        "ties_broken": int(sum(m["ruler_ties_broken"] for m in metrics)),
        "failures": int(sum(m["ruler_failures"] for m in metrics)),
        "not_asked_any_more": int(sum(m["ruler_skipped"] for m in metrics)),
        "pairs_in_the_judge_s_order": right,
        "pairs_in_another_order": wrong,
        "groups_lost": lost,
        "separated_groups_changed": changed,
        "agreement": round(sum(m["ruler_pairs_agreed"] for m in metrics) / pairs_seen, 3)
        if pairs_seen
        else None,
        "rewards_seconds": round(timing["rewards"], 2),
        "iterations_seconds": round(total, 1),
        "judge_share_of_time": round(timing["rewards"] / total, 4),
    }


def _order(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[int, int]:
    """Pairs of (score, reward) that are ordered alike, and those that are not."""
    good = bad = 0
    for (s1, r1), (s2, r2) in combinations(pairs, 2):
        assert s1 is not None and s2 is not None and r1 is not None and r2 is not None
        alike = (s1 > s2) == (r1 > r2) and (s1 < s2) == (r1 < r2)
        good, bad = good + alike, bad + (not alike)
    return good, bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--groups", type=int, default=12)
    parser.add_argument("--bad-share", type=float, default=0.0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tac-rl-bench-") as runs:
        print(json.dumps(asyncio.run(measure(args, Path(runs)))), flush=True)


if __name__ == "__main__":
    main()
