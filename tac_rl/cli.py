"""The console script `tac-rl`: each command is the door of the same name."""

import sys
from collections.abc import Sequence
from importlib import import_module

from tac_rl.doors import EXIT_USER_ERROR, run_door

COMMANDS = {
    "train": ("tac_rl.train", "train a policy: python tac_rl/train.py"),
    "rollout": ("tac_rl.rollout", "run one attempt and print every turn: python tac_rl/rollout.py"),
    "evaluate": ("tac_rl.evaluate", "measure a run's adapter and its base model: python tac_rl/evaluate.py"),
    "serve": ("tac_rl.serve", "serve what a run trained: python tac_rl/serve.py"),
    "export": ("tac_rl.export", "write an adapter with its model card, or merged weights"),
    "monitor": ("tac_rl.monitor.cli", "watch a run: python tac_rl/monitor.py"),
    "serve-part": ("tac_rl.serve_part", "run one part as a service: python tac_rl/serve_part.py"),
    "validate": ("tac_rl.validation.cli", "what this machine can run: python validate_gpu.py"),
    "warmstart": ("tac_rl.warmstart", "rebuild the tiny policy: python tac_rl/warmstart.py"),
    "office": ("tac_rl.office.cli", "serve a company, import one, list snapshots: python -m tac_rl.office"),
    "sandbox": ("tac_rl.sandboxes.cli", "prove the isolation, remove leftovers: python -m tac_rl.sandboxes"),
    "tasks": ("tac_rl.tasks.cli", "list, check and lay out task packages: python -m tac_rl.tasks"),
    "tac": ("tac_rl.tac.cli", "run packages of TheAgentCompany: python -m tac_rl.tac"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given or given[0] in ("-h", "--help"):
        print("usage: tac-rl COMMAND [options]\n")
        for name, (_, summary) in COMMANDS.items():
            print(f"  {name:10} {summary}")
        print("\ntac-rl COMMAND --help tells a command's options.")
        return 0 if given else EXIT_USER_ERROR
    if given[0] not in COMMANDS:
        print(f"error: no command {given[0]!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return EXIT_USER_ERROR
    module = import_module(COMMANDS[given[0]][0])
    return run_door(module.main, given[1:])


if __name__ == "__main__":
    sys.exit(main())
