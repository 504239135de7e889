#!/usr/bin/env python3
"""What this machine can run: `python validate_gpu.py [--config FILE] [--vram GB] [--quick] [--json]`.

Needs nothing but Python's standard library to start, so that it can say what is missing. Same as `tac-rl validate`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 (this file is what an older Python is started with)
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Python {found} is too old: TAC-RL needs 3.11 or newer. Install it, then run ./setup.sh")
    sys.path.insert(0, str(ROOT))
    from tac_rl.validation.cli import main

    sys.exit(main(sys.argv[1:]))
