"""The monitor's arguments, and its ways to show a run: a live dashboard, one JSON snapshot, a web page."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.live import Live

from tac_rl.errors import TacRlError
from tac_rl.monitor.dashboard import dashboard
from tac_rl.monitor.health import PROGRESS_SECONDS
from tac_rl.monitor.report import write_report
from tac_rl.monitor.snapshot import Snapshot, take_snapshot
from tac_rl.monitor.web import serve
from tac_rl.runs.reader import find_run

EXIT_ERROR = 3
"""There is no run to look at, or the arguments are wrong; 0 to 2 are about the run (`health.EXIT_CODES`)."""
REFRESH_SECONDS = 1.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_ERROR, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    p = _Parser(
        prog="monitor.py",
        description="Watch a run from its directory alone.",
        epilog="Exit code: 0 healthy, 1 degraded, 2 stalled (docs/runs.md says when), 3 nothing to watch.",
    )
    p.add_argument("--run", metavar="NAME", help="a run's name or its directory; default: the newest run")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    p.add_argument("--watch", action="store_true", help="stay and redraw until Ctrl-C or the run's end")
    p.add_argument("--json", action="store_true", help="print one snapshot as JSON")
    p.add_argument("--report", action="store_true", help="write the HTML report of the run as it stands")
    p.add_argument(
        "--serve",
        metavar="HOST:PORT",
        help="serve the reports and snapshots of all runs, for a browser on this machine, until Ctrl-C",
    )
    p.add_argument(
        "--stalled-after",
        type=float,
        default=PROGRESS_SECONDS,
        metavar="SECONDS",
        help="call a living run stalled when nothing happened for this long (default: %(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: how the run is (0 to 2), or 3."""
    args = parser().parse_args(argv)
    try:
        if args.serve:
            serve(args.runs_dir, args.serve, args.stalled_after)
            return 0
        directory = find_run(args.runs_dir, args.run)
        snapshot = take_snapshot(directory, progress_seconds=args.stalled_after)
        if args.report:
            print(write_report(directory))
        elif args.json:
            print(json.dumps(snapshot.to_json(), allow_nan=False))
        elif args.watch:
            snapshot = watch(directory, args.stalled_after)
        else:
            console = Console(highlight=False)
            console.print(dashboard(snapshot, console.width, 1000))
    except TacRlError as error:
        print(f"monitor.py: {error}", file=sys.stderr)
        return EXIT_ERROR
    return snapshot.health.exit_code


def watch(directory: Path, progress_seconds: float) -> Snapshot:
    """Redraw once a second until Ctrl-C or the run's end; gives the last snapshot."""
    console = Console(highlight=False)
    snapshot = take_snapshot(directory, progress_seconds=progress_seconds)
    done = threading.Event()
    # A handler instead of KeyboardInterrupt, so that Ctrl-C can't break a half-drawn screen.
    before = signal.signal(signal.SIGINT, lambda *_: done.set())
    try:
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while not done.is_set():
                snapshot = take_snapshot(directory, progress_seconds=progress_seconds)
                live.update(dashboard(snapshot, console.width, console.height), refresh=True)
                if snapshot.status.state != "running":
                    break
                done.wait(REFRESH_SECONDS)
    finally:
        signal.signal(signal.SIGINT, before)
    if console.is_terminal:  # the alternate screen is gone: leave the last look behind
        console.print(dashboard(snapshot, console.width, 1000))
    return snapshot
