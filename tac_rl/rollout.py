"""The door to one attempt: `python tac_rl/rollout.py --task tasks/NAME --agent oracle`.

What a task author uses all day: every turn is printed as it happens, and the checkpoints at the end.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tac_rl.agents.base import AgentStep
from tac_rl.assembly import single_attempt
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import EXIT_INFRASTRUCTURE, run_door
from tac_rl.office.overlay_file import read_overlay
from tac_rl.rollouts.outcomes import Outcome
from tac_rl.rollouts.rollout import RolloutResult
from tac_rl.runs.reader import find_run


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rollout.py", description="Run one attempt at a task.")
    parser.add_argument("--task", type=Path, required=True, help="folder of a task package")
    parser.add_argument("--seed", type=int, default=0, help="the instance (default: %(default)s)")
    parser.add_argument(
        "--agent",
        default="toolcall",
        metavar="{toolcall,openhands,openai-agents,oracle,nop,script:FILE}",
        help="who works (default: %(default)s); script:FILE sends each line of FILE as one command",
    )
    model = parser.add_argument_group("the model of --agent toolcall, openhands and openai-agents")
    model.add_argument("--config", type=Path, help="YAML file of a run (default: the tiny policy)")
    model.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.FIELD=VALUE")
    model.add_argument("--run", help="a run's name or directory: its newest adapter works")
    model.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where --run looks for names")
    model.add_argument("--temperature", type=float, default=1.0, help="0 is greedy (default: %(default)s)")
    parser.add_argument(
        "--overlay", type=Path, help="YAML file of state to lay over the company (docs/office.md)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    run = find_run(args.runs_dir, args.run) if args.run else None
    source = run / "config.yaml" if run else args.config
    config = load_config(RunConfig, source, args.overrides)
    config = config.model_copy(update={"office": config.office.model_copy(update={"record_changes": True})})
    console = Console(stderr=args.json, highlight=False, soft_wrap=True)
    result = asyncio.run(
        single_attempt(
            config,
            task=args.task,
            seed=args.seed,
            agent=args.agent,
            run=run,
            temperature=args.temperature,
            overlay=read_overlay(args.overlay) if args.overlay else None,
            on_instruction=lambda text: console.print(Text(text, style="bold"), end="\n\n"),
            watch=lambda step: show_step(console, step),
        )
    )
    show_result(console, result)
    if args.json:
        print(json.dumps(as_json(result, agent=args.agent, sandbox=config.sandbox.kind)))
    return EXIT_INFRASTRUCTURE if result.outcome is Outcome.INFRASTRUCTURE_FAILED else 0


def show_step(console: Console, step: AgentStep) -> None:
    if step.text:
        console.print(Text(step.text, style="italic"))
    if step.tool:
        label = "$ " if step.result is not None else f"{step.tool} "
        console.print(Text(f"[{step.turn}] ", style="dim") + Text(label + step.arguments, style="cyan"))
    if step.result is not None:
        console.print(Text(step.result.output.rstrip("\n")), end="\n" if step.result.output else "")
        if step.result.timed_out:
            console.print(Text("timed out", style="red"))
        elif step.result.exit_code:
            console.print(Text(f"exit {step.result.exit_code}", style="red"))
    if step.error:
        console.print(Text(step.error, style="red"))


def show_result(console: Console, result: RolloutResult) -> None:
    detail = f" ({result.detail})" if result.detail else ""
    console.print(Text(f"\n{result.outcome.value}{detail}", style="bold"), end="")
    console.print(f" after {result.turns} turns, {result.seconds:.2f} s")
    if result.grade is None:
        return
    for sentence in result.changes:
        console.print(Text(f"  changed: {sentence}", style="dim"))
    for number, checkpoint in enumerate(result.grade.checkpoints, start=1):
        style = "green" if checkpoint.result == checkpoint.total else "yellow" if checkpoint.result else "red"
        console.print(Text(f"  checkpoint {number}: {checkpoint.result}/{checkpoint.total}", style=style))
    console.print(
        f"  final score: {result.grade.final_result}/{result.grade.final_total}, TAC score {result.grade.score:.3f}"
    )


def as_json(result: RolloutResult, *, agent: str, sandbox: str) -> dict[str, Any]:
    grade = result.grade
    return {
        "task": result.plan.package.name,
        "seed": result.plan.instance.seed,
        "agent": agent,
        "sandbox": sandbox,
        "outcome": result.outcome.value,
        "turns": result.turns,
        "checkpoints": [{"total": c.total, "result": c.result} for c in grade.checkpoints] if grade else [],
        "final_score": {"total": grade.final_total, "result": grade.final_result} if grade else None,
        "score": grade.score if grade else None,
        "seconds": round(result.seconds, 3),
        "detail": result.detail,
    }


if __name__ == "__main__":
    sys.exit(run_door(main))
