"""Trajectories as readable HTML, and the choice of which ones a report shows."""

from collections import defaultdict
from collections.abc import Sequence

from tac_rl.errors import RunError
from tac_rl.monitor.text import duration, escaped, percent
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import StepDocument, StoredRollout

SAMPLE = 60
"""Trajectories shown besides each task's early failure and late success."""
_TEXT_LIMIT = 4_000
_STEPS = 40


def outcome_kind(rollout: StoredRollout) -> str:
    """`full`, `part`, `zero` or `ours`: the report's four colours."""
    if rollout.infrastructure:
        return "ours"
    if rollout.complete:
        return "full"
    return "part" if rollout.partial else "zero"


def choose(rollouts: Sequence[StoredRollout]) -> list[tuple[StoredRollout, str]]:
    """(rollout, why): of each task the first failed attempt and the last complete one, then an even sample."""
    kept = [r for r in rollouts if r.trajectory is not None]
    by_task: dict[str, list[StoredRollout]] = defaultdict(list)
    for rollout in kept:
        by_task[rollout.task].append(rollout)
    chosen: dict[str, tuple[StoredRollout, str]] = {}
    for task in sorted(by_task):
        early = next((r for r in by_task[task] if not r.complete and not r.infrastructure), None)
        late = next((r for r in reversed(by_task[task]) if r.complete), None)
        for picked, why in ((early, "early failure"), (late, "late success")):
            if picked is not None:
                chosen[picked.rollout_id] = (picked, why)
    rest = [r for r in kept if r.rollout_id not in chosen]
    step = max(1.0, len(rest) / SAMPLE)
    sample = [rest[int(n * step)] for n in range(min(SAMPLE, len(rest)))]
    return [*chosen.values(), *((r, "sample") for r in sample)]


def transcripts(reader: RunReader) -> str:
    """The browsable list of trajectories with its filters."""
    chosen = choose(reader.rollouts())
    if not chosen:
        return '<p class="none">no trajectory was saved</p>'
    tasks = sorted({rollout.task for rollout, _ in chosen})
    outcomes = {"full": "complete", "part": "partial", "zero": "zero", "ours": "infrastructure failure"}
    parts = ("early failure", "late success", "sample")
    filters = _select("task", "all tasks", {t: t for t in tasks})
    filters += _select("outcome", "all outcomes", outcomes) + _select("part", "all", {p: p for p in parts})
    items = "".join(_transcript(reader, rollout, why) for rollout, why in chosen)
    return (
        f'<div class="filters">{filters}<span class="dim" id="filter-count"></span></div>'
        f'<div id="trajectories">{items}</div>'
    )


def _select(name: str, everything: str, values: dict[str, str]) -> str:
    options = "".join(f'<option value="{escaped(v)}">{escaped(text)}</option>' for v, text in values.items())
    return (
        f'<select id="filter-{name}" aria-label="{name}" autocomplete="off">'
        f'<option value="">{everything}</option>{options}</select>'
    )


def _transcript(reader: RunReader, rollout: StoredRollout, why: str) -> str:
    kind = outcome_kind(rollout)
    where = (
        f"iteration {rollout.iteration}" if rollout.iteration is not None else f"{rollout.split} evaluation"
    )
    label = {
        "full": "complete",
        "part": f"partial {percent(rollout.partial)}",
        "zero": "zero",
        "ours": "ours",
    }[kind]
    head = (
        f"<b>{escaped(rollout.task)}</b><span>seed {rollout.seed}</span>"
        f'<span class="badge {kind}">{label}</span><span class="dim">{escaped(why)}</span>'
        f'<span class="dim">{escaped(where)}, v{rollout.version}</span>'
        f'<span class="dim">{escaped(rollout.outcome)}, {rollout.turns} turns, {rollout.tokens} tokens, '
        f"{duration(rollout.seconds)}</span>"
    )
    return (
        f'<details data-task="{escaped(rollout.task)}" data-outcome="{kind}" data-part="{escaped(why)}">'
        f'<summary>{head}</summary><div class="body">{_body(reader, rollout)}</div></details>'
    )


def _body(reader: RunReader, rollout: StoredRollout) -> str:
    try:
        document = reader.trajectory(rollout)
    except RunError as error:
        return f'<p class="error">{escaped(str(error))}</p>'
    if document is None:
        return '<p class="none">no trajectory was saved</p>'
    parts = [f'<pre class="instruction">{escaped(document["instruction"], _TEXT_LIMIT)}</pre>']
    steps = document["steps"]
    parts += [_turn(step) for step in steps[:_STEPS]]
    if len(steps) > _STEPS:
        parts.append(
            f'<p class="dim">{len(steps) - _STEPS} more steps are in {escaped(str(rollout.trajectory))}</p>'
        )
    if rollout.checkpoints:
        rows = " ".join(
            f"<span>{n}: <b>{r}/{t}</b></span>" for n, (t, r) in enumerate(rollout.checkpoints, 1)
        )
        parts.append(f'<div class="legend">checkpoints {rows}</div>')
    tokens, sampled = (sum(row[key] for row in document["rows"]) for key in ("tokens", "sampled"))
    if tokens:
        parts.append(
            f'<p class="dim">training rows: {len(document["rows"])}; {tokens} tokens, {sampled} of them sampled</p>'
        )
    if rollout.error:
        parts.append(f'<p class="error">{escaped(rollout.error, _TEXT_LIMIT)}</p>')
    return "".join(parts)


def _turn(step: StepDocument) -> str:
    notes = [f"turn {step['turn']}"]
    if step["tool"]:
        notes.append(escaped(step["tool"], 80))
    if step["exit_code"] is not None:
        notes.append(f"exit code {step['exit_code']}")
    notes += [name.replace("_", " ") for name in ("truncated", "timed_out") if step[name]]
    parts = [f'<div class="turn"><h4>{" · ".join(notes)}</h4>']
    if step["text"].strip():
        parts.append(f"<p>{escaped(step['text'], _TEXT_LIMIT)}</p>")
    if step["arguments"]:
        parts.append(f'<pre class="command">{escaped(step["arguments"], _TEXT_LIMIT)}</pre>')
    if step["output"]:
        parts.append(f"<pre>{escaped(step['output'], _TEXT_LIMIT)}</pre>")
    if step["error"]:
        parts.append(f'<p class="error">{escaped(step["error"], _TEXT_LIMIT)}</p>')
    return "".join(parts) + "</div>"
