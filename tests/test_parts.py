"""Engine, gateway and office as services of their own: the trainer finds them by their sockets."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving_models import VOCAB, make_adapter, make_model
from test_training import children_mentioning, rows, run_door, train_arguments

from tac_rl import parts
from tac_rl.config.engine import EngineSection
from tac_rl.config.gateway import GatewaySection
from tac_rl.errors import AdapterError, EngineError, InfrastructureError
from tac_rl.gateway.remote import RemoteGateway
from tac_rl.serving.base import Sampling
from tac_rl.serving.transformers_engine import TransformersEngine

pytestmark = pytest.mark.timeout(400)
PARTS = ("engine", "gateway", "office")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for sockets."""
    with tempfile.TemporaryDirectory(prefix="s-") as name:
        yield Path(name)


@contextmanager
def serving(part: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A service, started and answering; killed at the end."""
    command = [sys.executable, "tac_rl/serve_part.py", part, "--socket", str(path)]
    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_answer(path)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, path.with_suffix(".log").read_text()
        assert not path.exists()


def wait_for_answer(path: Path) -> None:
    for _ in range(1200):  # a limit for a busy machine, not an expectation
        try:
            parts.ping(path)
            return
        except InfrastructureError:
            time.sleep(0.1)
    raise AssertionError(f"no answer: {path.with_suffix('.log').read_text()}")


def wait_for_processes(path: Path, wanted: int) -> None:
    for _ in range(1200):  # a limit for a busy machine, not an expectation
        if parts.ping(path)["processes"] == wanted:
            return
        time.sleep(0.1)
    raise AssertionError(parts.ping(path))


def remote_gateway(folder: Path) -> RemoteGateway:
    """With the tiny policy, as a trainer has it; not started."""
    engine = EngineSection(socket=folder / "engine")
    return RemoteGateway(Path("tac_rl/policies/tiny"), engine, GatewaySection(socket=folder / "gateway"))


async def start_and_stop(gateway: RemoteGateway) -> None:
    await gateway.start()
    try:
        assert gateway.loaded_versions() == {0} and gateway.kind == "transformers"
        await gateway.check()
    finally:
        await gateway.stop()


def prompt(seed: int) -> list[int]:
    return [(seed * 31 + i * i * 7 + 3) % VOCAB for i in range(30)]


def sockets(folder: Path) -> tuple[str, ...]:
    return tuple(f"{part}.socket={folder / part}" for part in PARTS)


def test_a_run_over_three_services_trains_and_publishes(folder: Path) -> None:
    with serving("engine", folder / "engine"), serving("gateway", folder / "gateway"):
        with serving("office", folder / "office"):
            wanted = (
                "iterations=1",
                "tasks.include=[hr-notify-lead, hr-onboarding-folder]",
                *("rollouts.groups=2", "rollouts.group_size=2", "evaluation.final_attempts=2"),
                *sockets(folder),
            )
            done = run_door("train", *train_arguments(folder / "runs", "apart", *wanted), timeout=350)
            assert done.returncode == 0, done.stdout + done.stderr
            for part in PARTS:
                wait_for_processes(folder / part, 0)
    run = folder / "runs" / "apart"
    assert [row["published"] is not None for row in rows(run, "SELECT * FROM versions")] == [True]
    outcomes = {row["outcome"] for row in rows(run, "SELECT outcome FROM rollouts")}
    assert outcomes and "infrastructure_failed" not in outcomes
    shown = run_door("train", *train_arguments(folder, "x", *sockets(folder)), "--dry-run", "--json")
    assert json.loads(shown.stdout)["plan"]["engine"] == "of the gateway"


def test_a_killed_trainer_leaves_no_process_and_the_next_one_starts_afresh(folder: Path) -> None:
    with serving("engine", folder / "engine"), serving("gateway", folder / "gateway"):
        wanted = ("iterations=50", "tasks.include=[hr-onboarding-folder]", *sockets(folder)[:2])
        arguments = train_arguments(folder / "runs", "killed", *wanted)
        trainer = subprocess.Popen(
            [sys.executable, "tac_rl/train.py", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_processes(folder / "gateway", 1)
            wait_for_processes(folder / "engine", 1)
        finally:
            trainer.send_signal(signal.SIGKILL)
            trainer.wait(20)
        wait_for_processes(folder / "gateway", 0)
        wait_for_processes(folder / "engine", 0)
        asyncio.run(start_and_stop(remote_gateway(folder)))
    assert not [line for line in children_mentioning(str(folder)) if "worker" in line]


def test_a_served_engine_says_what_one_of_our_own_says(folder: Path) -> None:
    model = make_model(folder / "qwen2")
    adapter = make_adapter(model, folder / "adapter", 1)

    async def said(config: EngineSection) -> object:
        engine = TransformersEngine(model, config)
        await engine.start()
        try:
            await engine.load(adapter, 1)
            with pytest.raises(AdapterError):
                await engine.load(folder, 2)
            completion = await engine.generate(prompt(1), Sampling(seed=3, max_tokens=12), 1)
            return completion, await engine.score(prompt(2), 0)
        finally:
            await engine.stop()

    with serving("engine", folder / "engine"):
        served = asyncio.run(said(EngineSection(socket=folder / "engine")))
    assert served == asyncio.run(said(EngineSection()))


def test_an_engine_process_that_dies_fails_the_gateways_callers_and_a_new_start_works(folder: Path) -> None:
    async def work() -> None:
        gateway = remote_gateway(folder)
        await gateway.start()
        session = await gateway.open("r", version=0, sampling=Sampling(), context_limit=512)
        assert session.endpoint.base_url.startswith("http://127.0.0.1:")
        before = await gateway.score([5, 6, 7], 0)
        (worker,) = children_of(engine.pid)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(EngineError, match="ended unexpectedly"):
            while True:
                await gateway.check()
                await asyncio.sleep(0.05)
        await gateway.stop()
        with pytest.raises(EngineError, match="was stopped"):
            await session.close()
        await gateway.start()
        assert await gateway.score([5, 6, 7], 0) == before
        recording = await gateway.close(
            await gateway.open("s", version=0, sampling=Sampling(), context_limit=512)
        )
        assert (recording.rollout_id, recording.rows) == ("s", ())
        await gateway.stop()

    with serving("engine", folder / "engine") as engine, serving("gateway", folder / "gateway"):
        asyncio.run(work())


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_config_that_names_no_service_is_refused_with_the_field(folder: Path) -> None:
    engine = TransformersEngine(Path("tac_rl/policies/tiny"), EngineSection(socket=folder / "none"))
    with pytest.raises(EngineError, match=r"engine\.socket: no service answers at"):
        asyncio.run(engine.start())


def test_a_second_service_on_a_socket_is_refused_and_a_dead_ones_socket_is_taken_over(folder: Path) -> None:
    path = folder / "office"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving("office", path):
        second = run_door("serve_part", "office", "--socket", str(path))
        assert second.returncode == 2 and "another service answers" in second.stderr
        checked = run_door("serve_part", "office", "--socket", str(path), "--check")
        assert checked.returncode == 0 and json.loads(checked.stdout)["processes"] == 0
        assert oct(path.stat().st_mode & 0o777) == "0o660"
    assert run_door("serve_part", "office", "--socket", str(path), "--check").returncode == 3


def test_a_connection_that_sends_nonsense_harms_nobody(folder: Path) -> None:
    path = folder / "office"
    with serving("office", path):
        for line in (
            b"\n",
            b"[]\n",
            b"{\n",
            b'{"settings": 5}\n',
            b'{"settings": {}}\n',
            b"\xff" * 9 + b"\n",
        ):
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(20)
                stream.connect(str(path))
                stream.sendall(line)
                while stream.recv(4096):
                    pass
        wait_for_processes(path, 0)
