"""The live terminal dashboard: one `Snapshot` drawn for a terminal of any size from 80 columns.

Every section is a list of lines, so that what does not fit into the height can be left out: nothing scrolls.
"""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from rich.text import Text

from tac_rl.monitor.snapshot import Snapshot
from tac_rl.monitor.text import duration, number, one_line, percent
from tac_rl.runs.records import StoredRollout

WIDE = 150
"""From this many columns on, the tasks stand beside the rest."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_PALETTE = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_black")
_HEALTH = {"healthy": "green", "degraded": "yellow", "stalled": "red"}
QUIET_EVENTS = ("publish", "resume", "start", "finish", "note", "stage")
"""Kinds of events that need no colour."""


def dashboard(snapshot: Snapshot, width: int, height: int) -> Text:
    """The whole screen: at most `height` lines of at most `width` columns."""
    lines = [*_head(snapshot, width), Text()]
    room = height - len(lines)
    if width >= WIDE:
        half = (width - 3) // 2
        left = _column(snapshot, half, room)
        right = _tasks(snapshot, width - half - 3, room)
        for a, b in zip_longest(left, right, fillvalue=Text()):
            lines.append(_fit(a, half) + Text("   ") + b)
    else:
        # On a small screen the tasks leave the events two lines.
        task_room = min(max(2, len(snapshot.by_task) + 1), max(6, room - 15))
        above = _column(snapshot, width, room - task_room)
        lines += above + _tasks(snapshot, width, room - len(above))
    screen = Text("\n").join(_clip(line, width) for line in lines[:height])
    screen.no_wrap = True
    return screen


def _column(snapshot: Snapshot, width: int, room: int) -> list[Text]:
    """Learning, rollouts in flight, time and events, the first ones first where room is short."""
    lines: list[Text] = []
    for section in (_learning(snapshot, width), _flight(snapshot, width), _time(snapshot, width)):
        if len(lines) + len(section) <= room:
            lines += section
    return lines + _events(snapshot, width, room - len(lines))


# Sections


def _head(snapshot: Snapshot, width: int) -> list[Text]:
    status, health = snapshot.status, snapshot.health
    style = _HEALTH[health.answer]
    left = Text.assemble((status.name, "bold"), "  ", ("● ", style), (status.state, style))
    if health.answer != "healthy":
        left.append(f" · {health.answer}", style)
    if status.state == "running":
        left.append(f" · {status.stage} {duration(snapshot.now - status.stage_since)}")
    right = Text(f"trained v{snapshot.trained_version} · served v{snapshot.served_version}")
    times = duration(snapshot.elapsed_seconds())
    remaining = snapshot.remaining_seconds()
    if remaining is not None:
        times += f", about {duration(remaining)} left"
    label = f"iteration {snapshot.finished}/{status.iterations}  "
    if snapshot.training_stage is not None:
        label += f"{snapshot.training_stage.progress(snapshot.finished)}  "
    progress_bar = bar(
        snapshot.finished / max(1, status.iterations), max(10, width - len(label) - len(times) - 2)
    )
    problems = [Text(f"! {one_line(problem)}", style) for problem in health.problems[:3]]
    return [_spread(left, right, width), Text.assemble(label, progress_bar, "  ", times), *problems]


def _learning(snapshot: Snapshot, width: int) -> list[Text]:
    means = [snapshot.means[n] for n in sorted(snapshot.means)]
    finished = [i for i in snapshot.iterations if i.finished is not None]

    def metric(name: str) -> list[float | None]:
        return [i.metrics.get(name) for i in finished]

    cells = [
        ("reward", number, [m.reward for m in means]),
        ("entropy", number, metric("entropy")),
        ("partial score", percent, [m.partial for m in means]),
        ("mismatch KL", number, metric("mismatch_kl")),
        ("fully complete", percent, [m.full_completion for m in means]),
        ("gradient norm", number, metric("grad_norm")),
        ("zero variance", percent, metric("zero_variance_share")),
        ("tokens/s", number, [snapshot.tokens_per_s(i) for i in finished]),
    ]
    half = (width - 2) // 2
    drawn = []
    for name, show, values in cells:
        last = next((v for v in reversed(values) if v is not None), None)
        cell = Text.assemble((f"{name:<15}", "dim"), (f"{show(last):>7} ", "bold"))
        drawn.append(cell.append(spark(values, half - 23), "cyan"))
    pairs = [_fit(a, half) + Text("  ") + b for a, b in zip(drawn[::2], drawn[1::2], strict=True)]
    judge = _judge(snapshot)
    return [_title("held-out", width), *_heldout(snapshot, width), _title("training", width), *pairs, *judge]


def _judge(snapshot: Snapshot) -> list[Text]:
    """One line on the judge beside the checker, where there is one."""
    facts = snapshot.judge()
    if facts is None:
        return []
    line = Text.assemble(("judge          ", "dim"), (f"{percent(facts.agreement):>7} ", "bold"))
    line.append(f"of {facts.pairs} pairs agree · {facts.ties_broken}/{facts.ties} ties broken · ", "dim")
    line.append(f"{facts.failures} failures", "yellow" if facts.failures else "dim")
    return [line.append(f" · {number(facts.tokens)} tokens", "dim")]


def _heldout(snapshot: Snapshot, width: int) -> list[Text]:
    line = Text()
    if snapshot.heldout:
        first, last = snapshot.heldout[0], snapshot.heldout[-1]
        line.append("fully complete ", "dim").append(percent(first.results.get("full_completion")))
        if last is not first:
            line.append(" → ").append(percent(last.results.get("full_completion")), "bold green")
        interval = last.results.get("interval")
        if interval:
            line.append(f" ({percent(interval[0])} to {percent(interval[1])})", "dim")
        line.append("  score ", "dim").append(number(first.results.get("score")))
        if last is not first:
            line.append(" → ").append(number(last.results.get("score")), "bold")
            line.append(f"  at iteration {last.iteration}  ", "dim")
        curve = [e.results.get("full_completion") for e in snapshot.heldout]
        line.append(spark(curve, width - line.cell_len, top=1.0), "green")
    elif snapshot.evaluating is None:
        line.append("no evaluation yet", "dim")
    if snapshot.evaluating is not None:
        evaluation, done = snapshot.evaluating
        waiting = len([r for r in snapshot.in_flight if r.evaluation == evaluation.evaluation])
        note = f"evaluating v{evaluation.version}: {done}/{done + waiting} attempts"
        return [line, Text(note, "dim")] if line else [Text(note, "dim")]
    return [line]


def _flight(snapshot: Snapshot, width: int) -> list[Text]:
    phases = Counter(r.phase for r in snapshot.in_flight)
    current = snapshot.iterations[-1] if snapshot.iterations else None
    ended = 0
    if current is not None and current.finished is None and current.n in snapshot.means:
        ended = snapshot.means[current.n].attempts
    line = Text()
    if snapshot.in_flight:
        line.append(" · ".join(f"{phase} {count}" for phase, count in phases.most_common()))
        busy = [r for r in snapshot.in_flight if r.phase != "queued"]
        if busy:
            oldest = busy[0]
            line.append(f"   longest: {oldest.task} turn {oldest.turn}, ", "dim")
            line.append(f"{oldest.phase} for {duration(snapshot.now - oldest.since)}", "dim")
    else:
        line.append("none", "dim")
    title = f"rollouts in flight {len(snapshot.in_flight)}"
    if ended:
        title += f", ended in this iteration {ended}"
    failures = snapshot.infrastructure_failures
    note = Text(f"infrastructure failures {failures}", "red" if failures else "dim")
    return [_title(title, width, note), line]


def _time(snapshot: Snapshot, width: int) -> list[Text]:
    shares = snapshot.timing_shares()
    if not shares:
        return [_title("where the time went", width), Text("nothing timed yet", "dim")]
    bar, legend = Text(), Text()
    for n, (phase, share) in enumerate(shares.items()):
        style = _PALETTE[min(n, len(_PALETTE) - 1)]
        bar.append("█" * round(share * width), style)
        shown = f"{100 * share:.1f}%" if share < 0.0995 else percent(share)
        legend.append("■ ", style).append(f"{phase} ", "dim").append(f"{shown}  ")
    return [_title("where the time went", width), bar, legend]


def _events(snapshot: Snapshot, width: int, room: int) -> list[Text]:
    if room < 2 or not snapshot.events:
        return []
    lines = [_title("events", width)]
    for event in snapshot.events[-min(room - 1, 12) :]:
        style = "" if event.kind in QUIET_EVENTS else "yellow"
        clock = time.strftime("%H:%M:%S", time.localtime(event.time))
        lines.append(
            Text.assemble(
                (f"{clock} ", "dim"),
                (f"{one_line(event.kind):<14} ", style),
                (one_line(event.message), "dim"),
            )
        )
    return lines


def _tasks(snapshot: Snapshot, width: int, room: int) -> list[Text]:
    """One line a task: how often its last attempts were complete, p(1-p), and a strip of them."""
    if room < 2:
        return []
    name_width = max([4, *(len(task) for task in snapshot.by_task)])
    name_width = min(name_width, width // 3)
    strip = min(48, width - name_width - 18)
    right = Text.assemble(
        ("█ ", "green"), "complete  ", ("▄ ", "yellow"), "partial  ", ("▁ ", "red"), "zero  "
    )
    right.append("x ", "magenta").append("ours")
    lines = [_title(f"{'tasks':<{name_width}}    n     p  p(1-p)", width, right if width > 78 else None)]
    rates = {task: _rate(rollouts) for task, rollouts in snapshot.by_task.items()}
    shown = sorted(rates)
    if len(shown) > room - 1:  # leave out the settled ones, but keep the order: rows that jump can't be read
        by_variance = sorted(rates, key=lambda task: (-rates[task] * (1 - rates[task]), task))
        shown = sorted(by_variance[: room - 2])
    for task in shown:
        rollouts, p = snapshot.by_task[task], rates[task]
        line = Text.assemble(
            (f"{one_line(task)[:name_width]:<{name_width}} ", ""),
            (f"{len(rollouts):>4} {percent(p):>5}  {p * (1 - p):>5.2f}   ", "dim"),
        )
        for rollout in rollouts[-strip:]:
            line.append(*_mark(rollout))
        lines.append(line)
    if len(shown) < len(rates):
        lines.append(Text(f"and {len(rates) - len(shown)} more, with less variance", "dim"))
    if not rates:
        lines.append(Text("no attempt has ended yet", "dim"))
    return lines


def _rate(rollouts: Sequence[StoredRollout]) -> float:
    graded = [r for r in rollouts if not r.infrastructure]
    return sum(r.complete for r in graded) / len(graded) if graded else 0.0


def _mark(rollout: StoredRollout) -> tuple[str, str]:
    if rollout.infrastructure:
        return "x", "magenta"
    if rollout.complete:
        return "█", "green"
    if not rollout.partial:
        return "▁", "red"
    return _BLOCKS[1 + min(5, int(rollout.partial * 6))], "yellow"


# Drawing


def spark(values: Sequence[float | None], width: int, *, top: float | None = None) -> str:
    """The last `width` values as blocks, from the smallest to the largest (or from 0 to `top`)."""
    kept = [v for v in values if v is not None and abs(v) < float("inf")][-max(0, width) :]
    if not kept or width <= 0:
        return ""
    low, high = (0.0, top) if top is not None else (min(kept), max(kept))
    if high <= low:
        return "▄" * len(kept)
    return "".join(_BLOCKS[min(7, max(0, int((v - low) / (high - low) * 8)))] for v in kept)


def bar(share: float, width: int) -> Text:
    full = min(width, max(0, round(share * width)))
    return Text("━" * full, "cyan").append("─" * (width - full), "bright_black")


def _title(text: str, width: int, right: Text | None = None) -> Text:
    """A section's first line: its name, a rule, and a note at the right where there is one."""
    line = Text(f"{text} ", "bold")
    note = Text(" ") + right if right is not None else Text()
    return line.append("─" * max(0, width - line.cell_len - note.cell_len), "bright_black").append_text(note)


def _spread(left: Text, right: Text, width: int) -> Text:
    return left + Text(" " * max(2, width - left.cell_len - right.cell_len)) + right


def _fit(line: Text, width: int) -> Text:
    """`line` cut or padded to exactly `width` columns."""
    fitted = line.copy()
    fitted.truncate(width, overflow="ellipsis", pad=True)
    return fitted


def _clip(line: Text, width: int) -> Text:
    clipped = line.copy()
    clipped.truncate(width, overflow="ellipsis")
    return clipped
