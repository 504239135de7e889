"""The door of the validation: arguments in, a table or JSON out, and an exit code.

Exit codes: 0 the config can be used here, 1 something in the table keeps it from running, 2 a mistake in the call.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tac_rl.errors import TacRlError
from tac_rl.validation.checks import Report, validate
from tac_rl.validation.lines import Verdict

UNUSABLE, MISTAKE = 1, 2
COLOURS = {Verdict.OK: "green", Verdict.NOTE: "cyan", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="validate_gpu.py", description="What this machine can run, and how to mend what it can't."
    )
    parser.add_argument("--config", type=Path, help="the config to ask about (default: the largest that fits)")
    parser.add_argument("--adapter", type=Path, help="also check that this adapter fits the config's model")
    parser.add_argument("--quick", action="store_true", help="look only: no measuring, no training, no vLLM")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args(arguments)
    try:
        report = validate(args.config, args.adapter, quick=args.quick, say=_say(quiet=args.json))
    except TacRlError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    if args.json:
        print(json.dumps(report.document()))
    else:
        show(report)
    return 0 if report.usable else UNUSABLE


def _say(*, quiet: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet:
            print(f"... {text}", file=sys.stderr, flush=True)

    return say


def show(report: Report) -> None:
    """With rich where it is installed, else in plain text."""
    try:
        from rich.console import Console
    except ImportError:
        _plain(report)
        return
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, no_color=bool(os.environ.get("NO_COLOR")))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, max_width=16)
    table.add_column(overflow="fold")
    for line in report.lines:
        text = Text(line.found)
        if line.fix:
            text.append(f"\n-> {line.fix}", style="bold" if line.verdict is Verdict.FAIL else "")
        table.add_row(Text(line.verdict.value, style=COLOURS[line.verdict]), line.part, text)
    console.print(table)
    console.print()
    for text_line in _closing(report):
        console.print(text_line, soft_wrap=False, markup=False)


def _plain(report: Report) -> None:
    for line in report.lines:
        print(f"{line.verdict.value:5} {line.part:16} {line.found}")
        if line.fix:
            print(f"{'':22} -> {line.fix}")
    print()
    print("\n".join(_closing(report)))


def _closing(report: Report) -> list[str]:
    failed = sum(line.verdict is Verdict.FAIL for line in report.lines)
    lines = []
    if report.usable:
        lines.append(f"Use {report.config} here." if report.chosen else f"{report.config} can be used here.")
    else:
        count = f"{failed} line{'s' if failed > 1 else ''}"
        lines.append(f"{report.config} can't be used yet: mend the {count} marked fail.")
    others = [name for name in report.can_run if name != report.config]
    if others:
        lines.append(f"Memory also suffices for {', '.join(others)}.")
    seconds = report.seconds_per_iteration
    if seconds:
        lines.append(
            f"An iteration takes about {_time(seconds['all'])} (rollouts {_time(seconds['rollouts'])}, learner "
            f"{_time(seconds['learner'])}): an estimate from the rates measured here."
        )
    if report.usable:
        lines.append(f"Next: .venv/bin/python tac_rl/train.py --config {report.config}")
    return lines


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
