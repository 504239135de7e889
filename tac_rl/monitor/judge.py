"""The report's section on the judge beside the checker (RULER)."""

from tac_rl.monitor import svg
from tac_rl.monitor.snapshot import Snapshot
from tac_rl.monitor.tables import table
from tac_rl.monitor.text import escaped, number, percent
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import JudgementDocument

SHOWN = 20
"""Judgements of which the report shows what was said."""


def judge_section(snapshot: Snapshot, reader: RunReader) -> str:
    """How often the judge agrees with the checker, what it did and cost, and its last judgements."""
    facts = snapshot.judge()
    if facts is None:
        return '<p class="none">no judge was asked</p>'
    cards = [
        (percent(facts.agreement), f"of {facts.pairs} pairs ordered as the checker does (chance: 50%)"),
        (f"{facts.ties_broken}/{facts.ties}", "ties broken"),
        (str(facts.asked), "groups asked about"),
        (str(facts.failures + facts.skipped), "of them or others without an answer"),
        (number(facts.tokens), f"tokens, in {facts.calls} calls"),
        (f"${facts.cost_usd:.2f}", "by the price list, where it knows the model"),
    ]
    cells = "".join(
        f'<div class="card"><b>{escaped(value)}</b><span>{name}</span></div>' for value, name in cards
    )
    judged = [i for i in snapshot.iterations if i.metrics.get("ruler_pairs")]
    points: list[tuple[float, float | None]] = [
        (i.n, i.metrics["ruler_pairs_agreed"] / i.metrics["ruler_pairs"]) for i in judged
    ]
    plot = ""
    if len(points) > 1:
        curve = svg.line_plot(
            [svg.Series("agreement", points)], label="agreement with the checker", share=True
        )
        plot = f'<div class="card"><h3>Agreement with the checker</h3>{curve}</div>'
    return f'<div class="facts">{cells}</div>{plot}{_said(snapshot, reader)}'


def _said(snapshot: Snapshot, reader: RunReader) -> str:
    last: list[tuple[int, JudgementDocument]] = []
    for iteration in reversed(snapshot.iterations):
        last += [(iteration.n, judgement) for judgement in reader.judgements(iteration.n)]
        if len(last) >= SHOWN:
            break
    rows = [
        [
            escaped(judgement["task"]),
            escaped(rollout["rollout_id"]),
            number(rollout["checker"]),
            number(rollout["score"]),
            escaped(rollout["explanation"] or judgement["message"], 300),
        ]
        for _, judgement in last[:SHOWN]
        for rollout in judgement["rollouts"]
    ]
    if not rows:
        return ""
    head = ["task", "rollout", "checker", "judge", "why"]
    body = table(head, rows, words=2, wide=True)
    return f"<details><summary>last judgements</summary><div class='body scroll'>{body}</div></details>"
