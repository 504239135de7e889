"""Where things are kept that can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$TAC_RL_CACHE`, else `tac-rl` in the user's cache folder."""
    configured = os.environ.get("TAC_RL_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tac-rl"
