"""One iteration of configs/tiny_openhands_docker.yaml through the door: the real OpenHands, real Docker, the company.

The engine is transformers here, which starts in seconds; vLLM behind the same contract is tests/test_serving_vllm.py's.
"""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_helpers import needs_docker
from openhands_helpers import openhands_python
from test_training import children_mentioning, rows

CONFIG = Path(__file__).parents[1] / "configs" / "tiny_openhands_docker.yaml"

pytestmark = pytest.mark.timeout(1000)

SMALL = (
    "engine.kind=transformers",
    "iterations=1",
    "tasks.include=[hr-notify-lead, research-shortlist]",
    "curriculum.unlock_after=0",
    "rollouts.groups=2",
    "rollouts.group_size=3",
    "rollouts.min_group=2",
    "evaluation.every=0",
    "evaluation.final_attempts=2",
)


class Events:
    """What Docker says of the containers of one run, while it says it."""

    def __init__(self, run: str) -> None:
        self._client = docker.from_env(timeout=300)
        self._stream = self._client.api.events(
            decode=True, filters={"type": "container", "label": f"org.tac-rl.run={run}"}
        )
        self.seen: Counter[str] = Counter()
        self.names: set[str] = set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for event in self._stream:
            self.seen[event["Action"]] += 1
            self.names.add(event["Actor"]["Attributes"]["name"])

    def close(self) -> None:
        self._stream.close()
        self._thread.join(30)
        self._client.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Events]]:
    """A finished run of one iteration, and what happened to its containers."""
    needs_docker()
    openhands_python()
    runs = tmp_path_factory.mktemp("runs")
    name = f"openhands-docker-{os.getpid()}"
    settings = [f"--set={override}" for override in (*SMALL, f"runs_dir={runs}")]
    events = Events(name)
    try:
        done = subprocess.run(
            [sys.executable, "tac_rl/train.py", "--config", str(CONFIG), "--name", name, *settings],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    finally:
        events.close()
    assert done.returncode == 0, done.stdout + done.stderr
    yield runs / name, events


def trajectories(run: Path) -> list[dict[str, Any]]:
    found = rows(run, "SELECT trajectory FROM rollouts WHERE split = 'train'")
    return [json.loads(gzip.decompress((run / row["trajectory"]).read_bytes())) for row in found]


def test_the_policy_learns_from_openhands_attempts_and_the_new_version_is_proven(
    trained: tuple[Path, Events],
) -> None:
    run, _ = trained
    rollouts = rows(run, "SELECT * FROM rollouts WHERE split = 'train'")
    assert len(rollouts) == 2 * 3
    assert {row["outcome"] for row in rollouts} <= {
        "finished",
        "out_of_turns",
        "out_of_context",
        "agent_failed",
    }
    assert all(row["score"] is not None and row["tokens"] > 0 for row in rollouts)
    versions = rows(run, "SELECT * FROM versions")
    assert [row["version"] for row in versions] == [1] and versions[0]["published"]
    # One row a conversation: OpenHands' way of writing history never started another.
    assert all(len(document["rows"]) == 1 for document in trajectories(run))


def test_openhands_commands_ran_in_containers_and_reached_the_company(trained: tuple[Path, Events]) -> None:
    run, events = trained
    documents = trajectories(run)
    steps = [step for document in documents for step in document["steps"]]
    assert {step["tool"] for step in steps} <= {"bash", "finish"}
    company = [step for step in steps if step["arguments"].startswith("chat ")]
    assert any(step["exit_code"] == 0 for step in company), [step["output"] for step in company]
    # Each attempt had a container of its name, and each grading one.
    attempts = {row["rollout_id"] for row in rows(run, "SELECT rollout_id FROM rollouts")}
    assert all(any(f"tac-rl-{attempt}-" in name for name in events.names) for attempt in attempts)
    assert len([name for name in events.names if "tac-rl-grading-" in name]) >= len(attempts)


def test_no_container_and_no_process_outlives_the_run(trained: tuple[Path, Events]) -> None:
    run, events = trained
    assert events.seen["start"] >= 2 * 2 * 3
    assert events.seen["destroy"] == events.seen["create"]
    client = docker.from_env(timeout=60)
    try:
        assert client.api.containers(all=True, filters={"label": f"org.tac-rl.run={run.name}"}) == []
    finally:
        client.close()
    assert not children_mentioning(str(run))
