"""Are instances the same in every process? Compares digests with a process that hashes strings otherwise.

An `instance.py` that iterates over a set of strings gives other instances in every process; within one
process nothing shows it.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tac_rl.errors import TaskError
from tac_rl.tasks.base import TaskInstance
from tac_rl.tasks.packages import TaskPackage, load_package, split_seed

SEEDS = 20
TIMEOUT_S = 120.0


def digest(instance: TaskInstance) -> str:
    """A short text that is the same for the same instance, whatever its seed."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(instance.files.items())}
    parts = [
        instance.instruction,
        files,
        sorted(instance.executable),
        list(instance.setup),
        dict(instance.facts),
        [o.model_dump(mode="json") for o in instance.company.overlays] if instance.company else None,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digests(package: TaskPackage) -> list[str]:
    return [digest(package.instantiate(split_seed("check", index))) for index in range(SEEDS)]


def digests_elsewhere(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The digests of each package that loads, by its folder, from a process with another hash seed."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, *map(str, folders)],
        env={**os.environ, "PYTHONHASHSEED": "20011"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise TaskError(f"the packages could not be loaded in another process: {done.stderr[-400:]}")
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(folders: Sequence[str]) -> None:
    found = {}
    for folder in folders:
        try:
            found[folder] = digests(load_package(Path(folder)))
        except TaskError:
            continue  # the gate meets the same error, and reports it
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
