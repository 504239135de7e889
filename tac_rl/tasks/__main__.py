"""`python -m tac_rl.tasks`."""

import sys

from tac_rl.doors import run_door
from tac_rl.tasks.cli import main

sys.exit(run_door(main))
