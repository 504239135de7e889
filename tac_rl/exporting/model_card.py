"""The model card of an exported adapter: what it learnt, how it was measured, how it was made, and its limits."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from tac_rl.monitor.compare import rate
from tac_rl.runs.reader import RunReader
from tac_rl.runs.records import Evaluation

_HEAD = {"library_name": "peft", "tags": ["lora", "reinforcement-learning", "grpo", "tac-rl"]}


def model_card(run: Path, version: int, base_model: str, *, merged: bool) -> str:
    """The card as Markdown with a YAML head, from the run directory alone."""
    with RunReader(run) as reader, reader.consistent():
        config = {name: value for name, value in reader.config().items() if name != "runs_dir"}
        evaluations = [e for e in reader.evaluations() if e.finished is not None]
        status = reader.status()
        attempts = sum(1 for r in reader.rollouts() if r.iteration is not None)
    head = _HEAD if not merged else {**_HEAD, "library_name": "transformers"}
    parts = [
        f"---\n{yaml.safe_dump({'base_model': base_model, **head}, sort_keys=True)}---\n",
        f"# {status.name}, version {version}\n",
        f"{'The base model with a LoRA adapter merged in' if merged else 'A LoRA adapter'}, trained by TAC-RL: "
        "agents worked on office tasks in sandboxes, checkers graded what they left behind, and the grades became "
        f"updates. Base: `{base_model}`. {attempts} training attempts in all.\n",
        "## Held-out curve\n",
        _curve(evaluations),
        "## Tasks\n",
        _tasks(evaluations, version, run),
        "## Limits\n",
        "- Measured on the task packages above, on instances that training did not draw; nothing else was measured.\n"
        "- The intervals are of sampling attempts, not of training again with another seed.\n"
        "- The adapter knows the prompts and tools of the agent it was trained with (`agent` below).\n"
        "- What it writes are commands. Run them only where they can do no harm.\n",
        "## Configuration\n",
        f"```yaml\n{yaml.safe_dump(config, sort_keys=False).rstrip()}\n```\n",
    ]
    return "\n".join(parts)


def _curve(evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return "No evaluation was made.\n"
    lines = [
        "| iteration | version | split | attempts | full completion [95 %] | TAC score |",
        "|---|---|---|---|---|---|",
    ]
    for e in evaluations:
        low, high = e.results["interval"]
        lines.append(
            f"| {e.iteration} | {e.version} | {e.split} | {e.results['attempts']} "
            f"| {e.results['full_completion']:.3f} [{low:.3f}, {high:.3f}] | {e.results['score']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _tasks(evaluations: Sequence[Evaluation], version: int, run: Path) -> str:
    """Per task: of the first evaluation, and of the last one of this version (or before it)."""
    usable = [e for e in evaluations if e.version <= version]
    if not usable:
        return "No evaluation of this version or an earlier one was made.\n"
    first, last = usable[0], usable[-1]
    with RunReader(run) as reader:
        by_evaluation = [reader.rollouts(evaluation=e.evaluation) for e in (first, last)]
    names = sorted({r.task for rollouts in by_evaluation for r in rollouts})
    lines = [f"| task | version {first.version} | version {last.version} |", "|---|---|---|"]
    for name in names:
        cells = []
        for rollouts in by_evaluation:
            measured = rate([r for r in rollouts if r.task == name])
            cells.append(f"{measured.full_completion:.2f} of {measured.attempts}")
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"
