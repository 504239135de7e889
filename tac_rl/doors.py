"""What every door shares: arguments, errors as one line, signals, exit codes."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from tac_rl.errors import InfrastructureError, TacRlError

EXIT_USER_ERROR = 2
"""A mistake that the message tells how to fix."""

EXIT_INFRASTRUCTURE = 3
"""A part of ours failed; trying again may help."""

EXIT_INTERRUPTED = 130


def add_config_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """`--config FILE` and `--set a.b=c`."""
    parser.add_argument("--config", type=Path, required=required, help="YAML file of the run (see configs/)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="override one value of the config; may be given several times",
    )


def run_door(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Run a door's `main`; a `TacRlError` is printed without a traceback, SIGTERM ends like Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except TacRlError as error:
        return _tell(error)
    except ExceptionGroup as group:  # what tasks of a group raised
        known = _first_known(group)
        if known is None:
            raise
        return _tell(known)
    except BrokenPipeError:  # the reader of our output went away (a pager, head)
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(error: TacRlError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return EXIT_INFRASTRUCTURE if isinstance(error, InfrastructureError) else EXIT_USER_ERROR


def _first_known(group: ExceptionGroup[Exception]) -> TacRlError | None:
    """The first `TacRlError` in a tree of exceptions that holds nothing else."""
    known, others = group.split(TacRlError)
    if known is None or others is not None:
        return None
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, TacRlError) else None
