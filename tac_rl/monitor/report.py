"""The self-contained HTML report of a run: one file, no network, light and dark.

Everything in it that a model, a task or an error message wrote goes through `escaped`; a content security policy
stands behind that.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tac_rl.monitor import svg
from tac_rl.monitor.assets import SCRIPT, STYLE
from tac_rl.monitor.compare import Comparison, Rate, compare, curve, rate
from tac_rl.monitor.judge import judge_section
from tac_rl.monitor.snapshot import HELDOUT, Snapshot, take_snapshot
from tac_rl.monitor.tables import table as _table
from tac_rl.monitor.text import duration, escaped, number, percent
from tac_rl.monitor.transcripts import transcripts
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import StoredRollout
from tac_rl.runs.schema import translated

REPORT = "report.html"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(directory: Path) -> Path:
    """Write (or replace) `report.html` of the run in `directory`, finished or not, and return its path."""
    page = render(directory)
    path = directory / REPORT
    part = path.with_suffix(".part")
    with translated(path):
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    return path


def render(directory: Path) -> str:
    """The report of the run in `directory` as it stands, as one HTML page."""
    snapshot = take_snapshot(directory)
    with RunReader(directory) as reader, reader.consistent():
        return _page(snapshot, reader)


def _page(snapshot: Snapshot, reader: RunReader) -> str:
    comparisons = compare(reader)
    heldout = next((c for c in comparisons if c.split == HELDOUT), None)
    sections = [
        _header(snapshot, heldout),
        _section("Before and after", _before_after(comparisons)),
        _section("Held-out curve", _heldout(reader)),
        *([_section("Stages", _stages(snapshot))] if snapshot.stages else []),
        _section("Training", _training(snapshot)),
        *([_section("Judge", judge_section(snapshot, reader))] if snapshot.judge() else []),
        _section("Where the time went", _timing(snapshot)),
        _section("Tasks", _tasks(snapshot, heldout)),
        _section("Curriculum", _curriculum(snapshot)),
        _section("Trajectories", transcripts(reader)),
        _section("Events", _events(snapshot)),
        _section("Config", f"<details><summary>config.yaml</summary><pre>{_config(reader)}</pre></details>"),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(snapshot.status.name)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _header(snapshot: Snapshot, heldout: Comparison | None) -> str:
    status = snapshot.status
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.created))
    line = f"{status.state}, begun {began}"
    if status.sessions > 1:
        line += f", {status.sessions} sessions"
    attempts = sum(m.attempts for m in snapshot.means.values())
    facts = [
        (f"{snapshot.finished}/{status.iterations}", "iterations"),
        (duration(snapshot.elapsed_seconds()), "wall time"),
        (f"v{snapshot.trained_version}", f"trained version (v{snapshot.served_version} served)"),
        (f"{attempts}", "training attempts"),
        (f"{snapshot.infrastructure_failures}", "infrastructure failures"),
    ]
    if heldout is not None:
        before, after = heldout.before.overall, heldout.after.overall
        change = f"{percent(before.full_completion)} → {percent(after.full_completion)}"
        facts.insert(0, (change, "held-out full completion"))
    cells = "".join(
        f'<div class="card"><b>{escaped(value)}</b><span>{name}</span></div>' for value, name in facts
    )
    problems = "".join(f'<p class="problem">{escaped(p)}</p>' for p in snapshot.health.problems)
    return (
        f'<h1>{escaped(status.name)}</h1><p class="dim">{line}</p>{problems}<div class="facts">{cells}</div>'
    )


def _before_after(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return '<p class="none">no evaluation has finished</p>'
    rows = []
    for c in comparisons:
        before, after = c.before.overall, c.after.overall
        same = c.before.evaluation.evaluation == c.after.evaluation.evaluation
        versions = f"v{c.before.evaluation.version}" + ("" if same else f" → v{c.after.evaluation.version}")
        rows.append(
            [
                escaped(c.split),
                versions,
                str(before.attempts) if same else f"{before.attempts} / {after.attempts}",
                _rate_cell(before),
                "–" if same else _rate_cell(after),
                "–" if same else _change(before, after),
                f"{before.score:.3f}",
                "–" if same else f"{after.score:.3f}",
            ]
        )
    head = ["split", "versions", "attempts", "complete before", "after", "change", "score before", "after"]
    note = '<p class="dim">Full completion with its 95% interval; score is half partial credit, half completion.</p>'
    return f'<div class="card scroll">{_table(head, rows, words=2)}</div><br>{note}'


def _rate_cell(r: Rate) -> str:
    low, high = r.interval
    return f'{100 * r.full_completion:.1f}% <span class="dim">{100 * low:.0f} to {100 * high:.0f}</span>'


def _change(before: Rate | None, after: Rate | None) -> str:
    if before is None or after is None:
        return "–"
    points = 100 * (after.full_completion - before.full_completion)
    kind = "up" if points > 0 else "down" if points < 0 else "dim"
    return f'<span class="{kind}">{points:+.1f}</span>'


def _heldout(reader: RunReader) -> str:
    points = curve(reader, HELDOUT)
    where = [float(m.evaluation.iteration) for m in points]
    complete = svg.Series(
        "fully complete",
        [(x, m.overall.full_completion) for x, m in zip(where, points, strict=True)],
        [m.overall.interval for m in points],
    )
    score = svg.Series("score", [(x, m.overall.score) for x, m in zip(where, points, strict=True)])
    plot = svg.line_plot(
        [complete, score], label="held-out curve", share=True, width=900, height=280, markers=True
    )
    return f'<div class="card">{plot}</div>'


def _stages(snapshot: Snapshot) -> str:
    """What each stage is, and the held-out completion at its beginning and end, where it was measured there."""
    measured = {e.iteration: e.results.get("full_completion") for e in snapshot.heldout}
    rows = []
    for stage in snapshot.stages:
        done = [i for i in snapshot.iterations if stage.first <= i.n <= stage.last and i.finished is not None]
        rollouts = sum(i.metrics.get("trained_rollouts", 0.0) for i in done)
        rows.append(
            [
                f"{stage.number} {escaped(stage.kind)}",
                escaped(f"run {stage.from_run}" if stage.from_run else "new rollouts"),
                f"{stage.first} to {stage.last}",
                str(len(done)),
                f"{rollouts:.0f}",
                percent(measured.get(stage.first - 1)),
                percent(measured.get(stage.last)),
            ]
        )
    head = [
        "stage",
        "learns from",
        "iterations",
        "finished",
        "rollouts learnt from",
        "held-out before",
        "after",
    ]
    return f'<div class="card scroll">{_table(head, rows, words=2)}</div>'


def _training(snapshot: Snapshot) -> str:
    means = sorted(snapshot.means.items())
    finished = [i for i in snapshot.iterations if i.finished is not None]

    def metric(name: str, key: str) -> svg.Series:
        return svg.Series(name, [(i.n, i.metrics.get(key)) for i in finished])

    attempts = [
        svg.Series("partial score", [(n, m.partial) for n, m in means]),
        svg.Series("fully complete", [(n, m.full_completion) for n, m in means]),
    ]
    speed = svg.Series("tokens/s", [(i.n, snapshot.tokens_per_s(i)) for i in finished])
    plots = [
        ("Reward", [svg.Series("reward", [(n, m.reward) for n, m in means])], False),
        ("Training attempts", attempts, True),
        ("Zero-variance share of groups", [metric("zero variance", "zero_variance_share")], True),
        ("Entropy", [metric("entropy", "entropy")], False),
        ("Engine/learner mismatch (KL)", [metric("mismatch", "mismatch_kl")], False),
        ("Gradient norm", [metric("gradient norm", "grad_norm")], False),
        ("Loss", [metric("loss", "loss")], False),
        ("Sampled tokens a second of rollouts", [speed], False),
    ]
    cards = "".join(
        f'<div class="card"><h3>{name}</h3>{svg.line_plot(series, label=name, share=share)}</div>'
        for name, series, share in plots
    )
    return f'<div class="cards">{cards}</div>'


def _timing(snapshot: Snapshot) -> str:
    shares = snapshot.timing_shares()
    if not shares:
        return '<p class="none">nothing timed yet</p>'
    rows = [
        [escaped(phase), f"{snapshot.timing[phase]:.1f} s", f"{100 * share:.1f}%"]
        for phase, share in shares.items()
    ]
    table = _table(["phase", "time", "share"], rows, words=1)
    return f'<div class="card">{svg.stacked_bar(shares, snapshot.timing)}<br>{table}</div>'


def _tasks(snapshot: Snapshot, heldout: Comparison | None) -> str:
    tasks = sorted(set(snapshot.by_task) | set(heldout.tasks() if heldout else ()))
    if not tasks:
        return '<p class="none">no attempt has ended</p>'
    rows = []
    for task in tasks:
        rollouts = snapshot.by_task.get(task, [])
        p = rate(rollouts).full_completion
        before = heldout.before.by_task.get(task) if heldout else None
        after = heldout.after.by_task.get(task) if heldout else None
        rows.append(
            [
                escaped(task),
                percent(before.full_completion if before else None),
                percent(after.full_completion if after else None),
                _change(before, after),
                str(len(rollouts)),
                percent(p) if rollouts else "–",
                f"{p * (1 - p):.2f}" if rollouts else "–",
                svg.strip([_mark(r) for r in rollouts]) if rollouts else "",
            ]
        )
    head = [
        "task",
        "held-out before",
        "after",
        "change",
        "last attempts",
        "p",
        "p(1-p)",
        "outcomes, oldest first",
    ]
    keys = (("full", "complete"), ("part", "partial"), ("zero", "zero"), ("ours", "infrastructure failure"))
    legend = "".join(f'<span><i class="key {kind}"></i>{name}</span>' for kind, name in keys)
    return f'<div class="card scroll">{_table(head, rows, words=1, wide=True)}<div class="legend">{legend}</div></div>'


def _mark(r: StoredRollout) -> tuple[float | None, str]:
    if r.infrastructure:
        return None, f"iteration {r.iteration}, seed {r.seed}: infrastructure failure"
    share = 1.0 if r.complete else min(0.99, r.partial or 0.0)
    return share, f"iteration {r.iteration}, seed {r.seed}: {r.outcome}, score {number(r.score)}"


def _curriculum(snapshot: Snapshot) -> str:
    weighted = [i for i in snapshot.iterations if i.weights]
    if not weighted:
        return '<p class="none">no weights were stored</p>'
    tasks = sorted({task for i in weighted for task in i.weights})
    rows = {task: {i.n: i.weights[task] for i in weighted if task in i.weights} for task in tasks}
    return (
        '<div class="card scroll"><h3>Weight of each task when an iteration was drawn, darker is more</h3>'
        f"{svg.heat_map(rows, [i.n for i in weighted])}</div>"
    )


def _events(snapshot: Snapshot) -> str:
    if not snapshot.events:
        return '<p class="none">none</p>'
    rows = [
        [
            time.strftime("%m-%d %H:%M:%S", time.localtime(e.time)),
            "–" if e.iteration is None else str(e.iteration),
            escaped(e.kind, 80),
            escaped(e.message, 500),
        ]
        for e in snapshot.events
    ]
    table = _table(["time", "iteration", "kind", "message"], rows, words=4)
    return f"<details><summary>{len(rows)} events</summary><div class='body scroll'>{table}</div></details>"


def _config(reader: RunReader) -> str:
    return escaped(yaml.safe_dump(reader.config(), sort_keys=False, allow_unicode=True))
