"""docker/compose.yaml brought up for real: one iteration trained by services in containers, and nothing left behind."""

import functools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from pytest_docker.plugin import get_docker_services

from tac_rl.config.loading import load_config
from tac_rl.config.run import RunConfig
from tac_rl.serving.vllm_server import server_arguments
from tests.docker_helpers import needs_docker

FILE = Path("docker/compose.yaml").resolve()
PROJECT = f"tac-rl-test-{os.getpid()}"
SERVICES = {"engine", "gateway", "office", "trainer", "monitor"}
BUILD_SECONDS, RUN_SECONDS = 1200, 900


@functools.cache
def compose_command() -> str:
    """`docker compose`, else docker-compose; empty where there is neither."""
    if shutil.which("docker"):
        plugin = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, timeout=60, check=False
        )
        if plugin.returncode == 0:
            return "docker compose"
    return "docker-compose" if shutil.which("docker-compose") else ""


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> str:
    needs_docker()
    if not compose_command():
        pytest.skip("neither `docker compose` nor docker-compose is installed (setup.sh --dev)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("TAC_RL_MONITOR_PORT", str(port))
    monkeypatch.setenv("TAC_RL_SECCOMP", str(FILE.with_name("seccomp.json")))
    monkeypatch.setenv("COMPOSE_PROFILES", "cpu")
    return compose_command()


def services_of(compose: str, profile: str) -> dict[str, Any]:
    """The services of a profile as compose itself reads the file."""
    command = [*compose.split(), "--profile", profile, "-f", str(FILE), "config"]
    environment = {**os.environ, "COMPOSE_PROFILES": profile}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert shown.returncode == 0, shown.stderr
    services: dict[str, Any] = yaml.safe_load(shown.stdout)["services"]
    # docker-compose 1.29 prints services of other profiles too.
    return {
        name: service for name, service in services.items() if profile in service.get("profiles", [profile])
    }


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_every_service_of_a_profile_is_limited_checked_and_nobody(compose: str, profile: str) -> None:
    services = services_of(compose, profile)
    engine, trainer = ("engine", "trainer") if profile == "cpu" else ("vllm", "trainer-gpu")
    assert set(services) == {engine, trainer, "gateway", "office", "monitor"}
    for name, service in services.items():
        assert service["user"].split(":")[0] in ("10001", "10002"), name
        assert service["healthcheck"]["test"] and service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"] and not service.get("privileged"), name
        assert service["mem_limit"] and float(service["cpus"]) and int(service["pids_limit"]), name
        published = [port if isinstance(port, str) else port["host_ip"] for port in service.get("ports", ())]
        assert bool(published) == (name == "monitor"), name
        assert all(port.startswith("127.0.0.1") for port in published), name


def test_vllm_is_started_with_the_arguments_that_our_own_server_gets() -> None:
    config = load_config(RunConfig, Path("configs/compose_gpu.yaml"))
    section = config.engine.model_copy(update={"time_sharing": "on"})
    length = config.engine.max_model_len
    assert length is not None
    wanted = server_arguments(config.model, "0.0.0.0", 8000, section, length, gpu=True)
    written = yaml.safe_load(FILE.read_text())["services"]["vllm"]["command"]
    assert [part for argument in written for part in argument.split("=", 1)] == wanted


@pytest.mark.timeout(BUILD_SECONDS + RUN_SECONDS)
def test_services_train_one_iteration_and_leave_nothing(compose: str) -> None:
    built = subprocess.run(
        ["docker/tac-rl/build.sh"], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    client = docker.from_env(timeout=60)
    try:
        with get_docker_services(compose, [str(FILE)], PROJECT, "up -d", "down -v"):
            assert watch_until_the_run_ends(client) == SERVICES
            check_hardening(client)
            check_run(client)
        assert not containers(client)
        ours = {"filters": {"label": f"com.docker.compose.project={PROJECT}"}}
        assert not client.volumes.list(**ours) and not client.networks.list(**ours)
    finally:
        client.close()


def containers(client: docker.DockerClient) -> dict[str, Any]:
    found = client.containers.list(
        all=True, filters={"label": f"com.docker.compose.project={PROJECT}"}, ignore_removed=True
    )
    return {container.labels["com.docker.compose.service"]: container for container in found}


def watch_until_the_run_ends(client: docker.DockerClient) -> set[str]:
    """The services that Docker found healthy until the trainer ended; it must have ended well."""
    seen: set[str] = set()
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        found = containers(client)
        for name, container in found.items():
            if container.attrs["State"].get("Health", {}).get("Status") == "healthy":
                seen.add(name)
        if found["trainer"].status == "exited":
            break
        time.sleep(0.5)
    state = containers(client)["trainer"].attrs["State"]
    logs = {name: c.logs(tail=30).decode(errors="replace") for name, c in containers(client).items()}
    assert (state["Status"], state["ExitCode"]) == ("exited", 0), json.dumps(logs, indent=1)
    return seen


def check_hardening(client: docker.DockerClient) -> None:
    for name, container in containers(client).items():
        host = container.attrs["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], name
        assert host["Memory"] and host["NanoCpus"] and host["PidsLimit"], name
        for bindings in (host["PortBindings"] or {}).values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"], name
        if name in ("engine", "office"):
            assert host["NetworkMode"] == "none"
        for network in container.attrs["NetworkSettings"]["Networks"]:
            if network != "none":
                attributes = client.networks.get(network).attrs
                masquerade = attributes["Options"].get("com.docker.network.bridge.enable_ip_masquerade")
                assert attributes["Internal"] or masquerade == "false", network
        if name != "trainer":
            assert container.exec_run(["id", "-u"]).output.strip() == b"10001"
            assert container.exec_run(["touch", "/opt/tac-rl/app/x"]).exit_code != 0
            changed = container.exec_run(["find", "/data/runs", "-name", "run.sqlite", "-writable"])
            assert not changed.output, name


def check_run(client: docker.DockerClient) -> None:
    """As the monitor shows it, and as it lies in the volume."""
    base = f"http://127.0.0.1:{os.environ['TAC_RL_MONITOR_PORT']}"
    with urllib.request.urlopen(f"{base}/status.json", timeout=60) as answer:
        status = json.load(answer)
    assert status["state"] == "finished"
    assert (status["iteration"], status["policy_version"], status["served_version"]) == (1, 1, 1)
    assert status["infrastructure_failures"] == 0
    with urllib.request.urlopen(f"{base}/runs/{status['run']}", timeout=60) as answer:
        assert status["run"] in answer.read().decode()
    found = containers(client)["monitor"].exec_run(
        ["find", "/data/runs", "-name", "adapter_model.safetensors"]
    )
    assert found.output.decode().split(), found.output
