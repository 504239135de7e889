"""`python -m tac_rl.tac`."""

import sys

from tac_rl.doors import run_door
from tac_rl.tac.cli import main

sys.exit(run_door(main))
