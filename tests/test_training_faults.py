"""The short form of bench/faults.py: a run goes on through a SIGKILL of each of its parts, and all adds up.

With the built-in agent, since OpenHands' worker takes seconds to start and has tests of its own death.
"""

import json
import subprocess
import sys

import pytest
from docker_helpers import needs_docker

KINDS = ("trainer", "office", "sandbox")


@pytest.mark.timeout(1500)
def test_a_run_whose_trainer_office_and_container_are_killed_leaves_nothing_and_loses_nothing() -> None:
    needs_docker()
    small = "--rollouts 24 --groups 2 --kills 1 --aimed 1 --seed 3 --agent toolcall --minutes 20"
    done = subprocess.run(
        [sys.executable, "bench/faults.py", *small.split()],
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rollouts"] == 24 and told["failed"] == []
    # Whether a trainer that was killed is hit once more while it starts is the seed's affair.
    assert {kind: told["kills"][kind] for kind in KINDS} == dict.fromkeys(KINDS, 1)
    assert told["sessions"] == 1 + told["kills"]["trainer"] + told["kills"].get("trainer, while it starts", 0)
    # Office and container each took a rollout with them at the least.
    assert told["infrastructure_failures"] >= 2
