"""The monitor's door: `python tac_rl/monitor.py --watch`. To imports, `tac_rl.monitor` is the package."""

import sys

from tac_rl.monitor.cli import main

if __name__ == "__main__":
    sys.exit(main())
