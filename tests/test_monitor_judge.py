"""What the monitor shows of a judge beside the checker."""

from pathlib import Path

from runs_fakes import HOSTILE

from tac_rl.monitor.dashboard import dashboard
from tac_rl.monitor.report import write_report
from tac_rl.monitor.snapshot import take_snapshot
from tac_rl.runs.records import JudgementDocument
from tac_rl.runs.store import RunStore


def judgement(explanation: str) -> JudgementDocument:
    rollouts = [
        {"rollout_id": f"r{n}", "checker": 0.5, "score": n / 2, "explanation": explanation} for n in range(2)
    ]
    return {
        "group_id": "g", "task": "task", "rollouts": rollouts, "failure": "", "message": "", "calls": 1,
        "tokens": 900, "cost_usd": 0.01, "seconds": 0.5, "cached": False, "identical": False,
    }  # type: ignore[typeddict-item]  # fmt: skip


def judged_run(runs: Path, *, failures: int, iterations: int = 2) -> Path:
    """A run whose judge failed about so many of the 4 groups of each iteration."""
    with RunStore.create(runs, "judged", {}, iterations=iterations) as store:
        for n in range(1, iterations + 1):
            store.begin_iteration(n, 0)
            store.record_judgements(n, [judgement(HOSTILE), judgement("Shorter.")])
            metrics = {
                "ruler_asked": 4, "ruler_failures": failures, "ruler_skipped": 0, "ruler_ties": 3,
                "ruler_ties_broken": 2, "ruler_cached": 0, "ruler_calls": 5, "ruler_tokens": 1800,
                "ruler_cost_usd": 0.02, "ruler_pairs": 10, "ruler_pairs_agreed": 6 + n,
            }  # fmt: skip
            store.finish_iteration(n, metrics=metrics, timing={"rewards": 1.0}, new_version=0, state={})
    return runs / "judged"


def test_agreement_ties_and_failures_are_shown(tmp_path: Path) -> None:
    run = judged_run(tmp_path, failures=1)
    snapshot = take_snapshot(run)
    facts = snapshot.to_json()["judge"]
    assert (facts["agreement"], facts["pairs"], facts["ties_broken"], facts["failures"]) == (0.75, 20, 4, 2)
    assert snapshot.health.answer == "healthy"
    screen = dashboard(snapshot, 80, 40).plain
    assert "75% of 20 pairs agree · 4/6 ties broken · 2 failures" in screen
    page = write_report(run).read_text()
    assert "<h2>Judge</h2>" in page and "Shorter." in page and "Agreement with the checker" in page
    assert "<script>alert" not in page


def test_a_judge_that_only_fails_makes_a_run_degraded(tmp_path: Path) -> None:
    health = take_snapshot(judged_run(tmp_path, failures=4)).health
    assert health.answer == "degraded"
    assert "the judge had no usable answer" in health.problems[0]


def test_without_a_judge_nothing_is_shown(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "plain", {}, iterations=1) as store:
        store.begin_iteration(1, 0)
        store.finish_iteration(1, metrics={"loss": 0.1}, timing={}, new_version=0, state={})
    snapshot = take_snapshot(tmp_path / "plain")
    assert snapshot.to_json()["judge"] is None
    assert "judge" not in dashboard(snapshot, 80, 40).plain
    assert "<h2>Judge</h2>" not in write_report(tmp_path / "plain").read_text()
