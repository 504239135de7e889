"""Import what a run imports, so that the image has it compiled: the services' modules, and the tiny policy's."""

import importlib
from pathlib import Path

from tac_rl.serving.core import Core, CoreSettings

for name in ("train", "serve_part", "monitor.cli", "learning.step", "office.server", "gateway.worker"):
    importlib.import_module(f"tac_rl.{name}")
policy = Path("tac_rl/policies/tiny")
Core(CoreSettings(str(policy), length=64, cache_slots=1))
