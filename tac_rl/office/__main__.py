"""`python -m tac_rl.office`: serve a company to a person, import one, list snapshots, or speak MCP."""

import sys

from tac_rl.doors import run_door
from tac_rl.office.cli import main

sys.exit(run_door(main))
