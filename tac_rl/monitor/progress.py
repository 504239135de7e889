"""What `train.py` shows: bars and the last numbers on a terminal, one line for each thing that ended anywhere else.

It reads the run directory like every other watcher, from a thread, so the loop has nothing to call.
"""

import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tac_rl.errors import RunError
from tac_rl.monitor.compare import Rate, compare
from tac_rl.monitor.dashboard import QUIET_EVENTS, bar
from tac_rl.monitor.snapshot import Snapshot, take_snapshot
from tac_rl.monitor.stages import stage_of
from tac_rl.monitor.text import duration, number, one_line, percent
from tac_rl.runs.reader import RunReader


class TrainProgress:
    """Shows the run in `directory` while the `with` block runs; `console` is standard output by default."""

    def __init__(self, directory: Path, console: Console | None = None, *, interval_s: float = 1.0) -> None:
        self._directory = directory
        self._console = console or Console(highlight=False)
        self._interval_s = interval_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        first = take_snapshot(directory, tasks=False)
        # A resumed run's past is not told again.
        self._told_iterations = first.finished
        self._told_evaluations = len(first.heldout)
        self._told_until = first.events[-1].time if first.events else 0.0

    def __enter__(self) -> "TrainProgress":
        if self._console.is_terminal:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=10.0)
        if self._console.is_terminal:
            self._live.stop()
        self._look()

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        """Tell what is new and redraw the bars."""
        try:
            snapshot = take_snapshot(self._directory, tasks=False)
        except RunError:
            return  # the loop meets the same trouble and reports it; a display must not end a run
        for line in self._news(snapshot):
            self._console.print(line, soft_wrap=True)
        if self._live.is_started:
            self._live.update(progress_bars(snapshot, self._console.width), refresh=True)

    def _news(self, snapshot: Snapshot) -> list[Text]:
        lines = []
        finished = [i for i in snapshot.iterations if i.finished is not None]
        for iteration in finished[self._told_iterations :]:
            means = snapshot.means.get(iteration.n)
            line = Text.assemble((f"iteration {iteration.n}/{snapshot.status.iterations}", "bold"))
            stage = stage_of(snapshot.stages, iteration.n)
            if stage is not None:
                line.append(f"  {stage.progress(iteration.n)}", "cyan")
            if means is not None:
                line.append(f"  reward {number(means.reward)}  partial {percent(means.partial)}")
                line.append(f"  complete {percent(means.full_completion)}")
            for name, label in (("entropy", "entropy"), ("grad_norm", "grad norm")):
                if name in iteration.metrics:
                    line.append(f"  {label} {number(iteration.metrics[name])}", "dim")
            line.append(f"  v{iteration.new_version}", "dim")
            line.append(f"  {duration((iteration.finished or 0.0) - iteration.started)}", "dim")
            lines.append(line)
        self._told_iterations = max(self._told_iterations, len(finished))
        for evaluation in snapshot.heldout[self._told_evaluations :]:
            line = Text(f"held-out after iteration {evaluation.iteration}: ", "bold green")
            line.append(f"{percent(evaluation.results.get('full_completion'))} fully complete, ")
            line.append(f"score {number(evaluation.results.get('score'))}")
            lines.append(line)
        self._told_evaluations = max(self._told_evaluations, len(snapshot.heldout))
        for event in snapshot.events:
            if event.time > self._told_until and event.kind not in QUIET_EVENTS:
                lines.append(Text(f"{one_line(event.kind)}: {one_line(event.message)}", "yellow"))
        if snapshot.events:
            self._told_until = snapshot.events[-1].time
        return lines


def progress_bars(snapshot: Snapshot, width: int) -> Text:
    """Three lines: iterations, the rollouts of what goes on, the last numbers."""
    status = snapshot.status
    times = duration(snapshot.elapsed_seconds())
    remaining = snapshot.remaining_seconds()
    if remaining is not None:
        times += f", about {duration(remaining)} left"
    room = min(40, max(10, width - 50))
    share = snapshot.finished / max(1, status.iterations)
    first = Text.assemble(f"{f'iteration {snapshot.finished}/{status.iterations}':<18} ", bar(share, room))
    ended = _ended(snapshot)
    total = ended + len(snapshot.in_flight)
    phases = " · ".join(
        f"{name} {n}" for name, n in Counter(r.phase for r in snapshot.in_flight).most_common()
    )
    second = Text.assemble(f"{f'rollouts {ended}/{total}':<18} ", bar(ended / max(1, total), room))
    last = [i for i in snapshot.iterations if i.finished is not None][-1:]
    third = Text(status.stage, "dim")
    if snapshot.training_stage is not None:
        third.append(f"  {snapshot.training_stage.progress(snapshot.finished)}", "cyan")
    if last and last[0].n in snapshot.means:
        means = snapshot.means[last[0].n]
        third.append(f"  reward {number(means.reward)}  fully complete {percent(means.full_completion)}")
    if snapshot.heldout:
        third.append(f"  held-out {percent(snapshot.heldout[0].results.get('full_completion'))}")
    if len(snapshot.heldout) > 1:
        third.append(f" → {percent(snapshot.heldout[-1].results.get('full_completion'))}")
    lines = [first.append(f"  {times}", "dim"), second.append(f"  {phases}", "dim"), third]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _ended(snapshot: Snapshot) -> int:
    """Rollouts that have ended in the evaluation or iteration going on."""
    if snapshot.evaluating is not None:
        return snapshot.evaluating[1]
    current = snapshot.iterations[-1] if snapshot.iterations else None
    if current is None or current.finished is not None or current.n not in snapshot.means:
        return 0
    return snapshot.means[current.n].attempts


def closing_table(directory: Path) -> Table | Text:
    """Before and after on every split that was evaluated, task by task; a line of text where none was."""
    with RunReader(directory) as reader:
        comparisons = compare(reader)
    if not comparisons:
        return Text("no evaluation was made", "dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for name in ("attempts", "before", "after", "change", "score"):
        table.add_column(name, justify="right")
    for comparison in comparisons:
        before, after = comparison.before, comparison.after
        versions = f"v{before.evaluation.version} → v{after.evaluation.version}"
        table.add_row(Text(f"{comparison.split} {versions}", "bold"), *_cells(before.overall, after.overall))
        for task in comparison.tasks():
            table.add_row(f"  {task}", *_cells(before.by_task.get(task), after.by_task.get(task)))
    return table


def _cells(before: Rate | None, after: Rate | None) -> list[Text]:
    cells = [Text(str(after.attempts if after else 0), "dim")]
    cells += [Text(percent(r.full_completion) if r else "–") for r in (before, after)]
    if before and after:
        change = 100 * (after.full_completion - before.full_completion)
        cells.append(Text(f"{change:+.0f}", "green" if change > 0 else "red" if change < 0 else "dim"))
    else:
        cells.append(Text("–"))
    scores = " → ".join(f"{r.score:.2f}" if r else "–" for r in (before, after))
    return [*cells, Text(scores, "dim")]
