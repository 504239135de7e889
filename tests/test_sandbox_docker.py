"""What only Docker sandboxes have: images, a pool, labels, a daemon that may not be there."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tac_rl.config.sandbox import DockerSection, SandboxSection
from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import Mount, SandboxLimits, SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider, DockerSandbox
from tac_rl.sandboxes.select import make_provider
from tests.docker_helpers import containers_of, with_docker

pytestmark = pytest.mark.usefixtures("docker_engine")


@pytest.fixture
def base() -> Iterator[Path]:
    """A short runtime folder of the test's own."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # pytest's own are too long for sockets
        yield Path(folder)


def test_the_config_makes_a_working_provider(base: Path) -> None:
    provider = make_provider(SandboxSection(kind="docker", runtime_dir=base))
    assert isinstance(provider, DockerProvider)
    provider.check()


def test_stop_twice_and_close_remove_every_trace(docker_engine: docker.DockerClient, base: Path) -> None:
    async def work(provider: DockerProvider) -> None:
        first = await provider.start(SandboxSpec("first"))
        await provider.start(SandboxSpec("second"))
        assert len(containers_of(docker_engine, provider)) == 2
        await first.exec("setsid sleep 100 &")
        await first.stop()
        await first.stop()
        assert len(containers_of(docker_engine, provider)) == 1
        with pytest.raises(SandboxError, match="sandbox first: it ended during exec"):
            await first.exec("true")
        await provider.close()
        await provider.close()
        assert containers_of(docker_engine, provider) == []

    with_docker(work, runtime_dir=base)
    assert list(base.iterdir()) == []


def test_a_container_that_is_killed_is_an_error_and_stop_still_cleans_up(
    docker_engine: docker.DockerClient, base: Path
) -> None:
    async def work(provider: DockerProvider) -> None:
        sandbox = await provider.start(SandboxSpec("doomed"))
        assert isinstance(sandbox, DockerSandbox)
        running = asyncio.create_task(sandbox.exec("sleep 100", timeout_s=100))
        await asyncio.sleep(0)
        await asyncio.to_thread(docker_engine.containers.get(sandbox.container).kill)
        with pytest.raises(SandboxError, match="sandbox doomed: it ended during exec"):
            await running
        await sandbox.stop()
        assert containers_of(docker_engine, provider) == []

    with_docker(work, runtime_dir=base)
    assert list(base.iterdir()) == []


def test_containers_say_whose_they_are(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> dict[str, str]:
        sandbox = await provider.start(SandboxSpec("i3-g1-r2-try2"))
        assert isinstance(sandbox, DockerSandbox)
        container = await asyncio.to_thread(docker_engine.containers.get, sandbox.container)
        assert container.name.startswith("tac-rl-i3-g1-r2-try2-")
        return dict(container.labels)

    labels = with_docker(work, run="night-run")
    assert labels["org.tac-rl.run"] == "night-run"
    assert (labels["org.tac-rl.rollout"], labels["org.tac-rl.attempt"]) == ("i3-g1-r2", "2")
    assert labels["org.tac-rl.owner"] == runtime.identity(os.getpid())


def test_the_office_can_answer_at_the_ports_of_a_sandbox() -> None:
    async def work(provider: DockerProvider) -> str:
        sandbox = await provider.start(SandboxSpec("ports", ports=(3000, 8929)))

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nfrom the office\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, sock=sandbox.listeners[8929].dup())
        result = await sandbox.exec("curl -s http://the-agent-company.com:8929/x")
        server.close()
        return result.output

    assert with_docker(work) == "from the office\n"


def test_a_start_that_fails_says_why_and_leaves_nothing(
    docker_engine: docker.DockerClient, base: Path
) -> None:
    async def work(provider: DockerProvider) -> None:
        with pytest.raises(SandboxError, match="sandbox x: the mount /nonexistent/y does not exist"):
            await provider.start(SandboxSpec("x", read_only_mounts=(Mount("/nonexistent/y", "/data"),)))
        with pytest.raises(SandboxError, match=r"sandbox x did not start: docker: "):
            await provider.start(SandboxSpec("x", read_only_mounts=(Mount("/usr", "/proc/self/nope"),)))
        with pytest.raises(SandboxError, match=r"set sandbox\.docker\.network: bridge"):
            await provider.start(SandboxSpec("x", network=True))
        await provider.close()
        assert containers_of(docker_engine, provider) == []

    with_docker(work, runtime_dir=base)
    assert list(base.iterdir()) == []


def test_a_start_that_is_cancelled_leaves_no_container(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> None:
        await (await provider.start(SandboxSpec("first"))).stop()
        starts = [asyncio.ensure_future(provider.start(SandboxSpec(f"s{number}"))) for number in range(4)]
        for number, start in enumerate(starts):
            await asyncio.sleep(0.05 * number)
            start.cancel()
        results = await asyncio.gather(*starts, return_exceptions=True)
        assert any(isinstance(result, asyncio.CancelledError) for result in results)
        await provider.close()
        assert containers_of(docker_engine, provider) == []

    with_docker(work)


def test_a_missing_daemon_is_reported_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    provider = DockerProvider()
    with pytest.raises(SandboxUnavailableError, match="no Docker daemon answers: start it"):
        provider.check()
    with pytest.raises(SandboxUnavailableError, match="no Docker daemon answers"):
        asyncio.run(provider.start(SandboxSpec("x")))
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(SandboxUnavailableError, match="unset DOCKER_HOST"):
        DockerProvider().check()


def test_a_missing_image_is_reported_with_the_fix() -> None:
    async def work(provider: DockerProvider) -> None:
        with pytest.raises(SandboxUnavailableError, match="docker pull tac-rl/no-such:1"):
            await provider.start(SandboxSpec("x"))

    with_docker(work, DockerSection(image="tac-rl/no-such:1", pool=0))


def test_root_in_the_container_has_no_capability() -> None:
    async def work(provider: DockerProvider) -> str:
        sandbox = await provider.start(SandboxSpec("root"))
        result = await sandbox.exec(
            "id -u; grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f2; touch /x /etc/x; mount -t tmpfs x /mnt;"
            " cat /proc/1/mem; kill -9 1; echo alive"
        )
        return result.output

    output = with_docker(work, DockerSection(user=0, pool=0))
    assert output.startswith("0\n" + "0000000000000000\n" * 3) and output.endswith("alive\n")
    assert output.count("Read-only file system") == 2


def test_limits_of_the_container_stand_behind_the_servers(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> dict[str, object]:
        limits = SandboxLimits(memory_mb=100, processes=20, disk_mb=8)
        sandbox = await provider.start(SandboxSpec("limits", limits))
        assert isinstance(sandbox, DockerSandbox)
        container = await asyncio.to_thread(docker_engine.containers.get, sandbox.container)
        return dict(container.attrs["HostConfig"])

    host = with_docker(work)
    assert host["Memory"] == host["MemorySwap"] == (100 + 20 + 48) << 20
    assert host["PidsLimit"] == 36
    assert host["NetworkMode"] == "none" and host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False and host["CapDrop"] == ["ALL"]
    assert "size=8388608" in host["Tmpfs"]["/workspace"]  # type: ignore[index]


OWNER = """
import asyncio, sys
from pathlib import Path
from tac_rl.config.sandbox import DockerSection
from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider

async def main():
    provider = DockerProvider(DockerSection(pool=1), runtime_dir=Path(sys.argv[1]))
    for number in range(2):
        sandbox = await provider.start(SandboxSpec(f"s{number}"))
        await sandbox.exec("setsid sleep 1000 &")
    await provider.warm()
    busy = asyncio.create_task(sandbox.exec("sleep 1000", timeout_s=1000))
    await asyncio.sleep(0)
    print("ready", flush=True)
    await busy

asyncio.run(main())
"""


def test_killing_the_owner_ends_its_containers_and_the_next_start_removes_the_rest(
    docker_engine: docker.DockerClient, base: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(base)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
        identity = runtime.identity(owner.pid)
        of_owner = {"label": f"org.tac-rl.owner={identity}"}
        containers = docker_engine.containers.list(all=True, filters=of_owner, ignore_removed=True)
        assert len(containers) == 3
        owner.kill()
        owner.wait(10)
    for container in containers:  # They end by themselves.
        try:
            container.wait(timeout=30)
        except docker.errors.NotFound:
            continue

    async def work(provider: DockerProvider) -> None:
        await provider.start(SandboxSpec("next"))
        left = await asyncio.to_thread(
            docker_engine.containers.list, all=True, filters=of_owner, ignore_removed=True
        )
        assert left == []
        assert [path.name for path in base.iterdir()] == [runtime.identity(os.getpid())]

    with_docker(work, runtime_dir=base)
