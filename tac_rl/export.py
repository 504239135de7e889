"""The door to what a run trained, for other programs: `tac-rl export --run NAME --to DIR [--merged]`."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tac_rl.assembly import adapter_of
from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.doors import run_door
from tac_rl.errors import ConfigError, RunError
from tac_rl.exporting.adapter import write_adapter, write_merged
from tac_rl.exporting.model_card import model_card
from tac_rl.runs.reader import find_run


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tac-rl export", description="Write a run's adapter with a model card."
    )
    parser.add_argument("--run", required=True, help="a run's name or directory")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where --run looks for names")
    parser.add_argument("--version", type=int, help="policy version (default: the newest)")
    parser.add_argument("--to", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--merged",
        action="store_true",
        help="write whole weights, which transformers and vLLM load as they are",
    )
    parser.add_argument(
        "--base-name", help="name of the base model in the card and the adapter (default: its folder)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    run = find_run(args.runs_dir, args.run)
    config = load_config(RunConfig, run / "config.yaml", [])
    adapter, version = adapter_of(run, args.version)
    if adapter is None and not args.merged:
        raise RunError(
            f"{run}: version {version} is the base model, which has no adapter; train first, or add --merged"
        )
    base_name = args.base_name or str(config.model)
    if args.to.exists():
        raise ConfigError(f"--to {args.to}: exists already; name a new folder")
    # Whole or, if this is killed, not at all.
    partial = args.to.with_name(f".{args.to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if args.merged:
            write_merged(config.model, adapter, partial)
        elif adapter is not None:
            write_adapter(adapter, base_name, partial)
        card = model_card(run, version, base_name, merged=args.merged)
        (partial / "README.md").write_text(card, encoding="utf-8")
        partial.rename(args.to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{'merged weights' if args.merged else 'adapter'} of version {version}: {args.to}")
    return 0


if __name__ == "__main__":
    sys.exit(run_door(main))
