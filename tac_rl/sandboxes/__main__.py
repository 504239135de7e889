"""`python -m tac_rl.sandboxes`: see `cli.py`."""

import sys

from tac_rl.doors import run_door
from tac_rl.sandboxes.cli import main

sys.exit(run_door(main))
