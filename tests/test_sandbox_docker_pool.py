"""The warm pool: what is ready is handed out once, replaced when it dies, and gone with the provider."""

import asyncio

import docker
import pytest

from tac_rl.config.sandbox import DockerSection
from tac_rl.sandboxes.base import SandboxLimits, SandboxSpec
from tac_rl.sandboxes.docker.provider import DockerProvider, DockerSandbox
from tests.docker_helpers import containers_of, with_docker

pytestmark = pytest.mark.usefixtures("docker_engine")


async def start(provider: DockerProvider, name: str, **more: object) -> DockerSandbox:
    sandbox = await provider.start(SandboxSpec(name, **more))  # type: ignore[arg-type]
    assert isinstance(sandbox, DockerSandbox)
    return sandbox


def test_a_ready_container_is_handed_out_once_with_the_callers_settings(
    docker_engine: docker.DockerClient,
) -> None:
    async def work(provider: DockerProvider) -> None:
        await (await start(provider, "first")).stop()
        await provider.warm()
        (ready,) = await asyncio.to_thread(containers_of, docker_engine, provider)
        assert ready.startswith("tac-rl-ready-")
        waiting = docker_engine.containers.get(ready).id
        second = await start(provider, "second", env=(("GREETING", "hi"),), path=("/opt/bin",))
        assert second.container == waiting, "it came from the pool"
        output = (await second.exec("echo $GREETING ${PATH%%:*}; ls -A; touch used")).output
        assert output == "hi /opt/bin\n"
        await provider.warm()
        third = await start(provider, "third")
        assert third.container != waiting
        assert (await third.exec("ls -A; echo [$GREETING]")).output == "[]\n"
        names = []
        for _ in range(100):  # Named in the background.
            names = await asyncio.to_thread(containers_of, docker_engine, provider)
            if {second.name, third.name} <= set(names):
                break
            await asyncio.sleep(0.1)
        assert {second.name, third.name} <= set(names) and "second" in second.name

    with_docker(work, DockerSection(pool=1))


def test_a_waiting_container_that_dies_is_replaced(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> None:
        await (await start(provider, "first")).stop()
        await provider.warm()
        (ready,) = await asyncio.to_thread(containers_of, docker_engine, provider)
        doomed = docker_engine.containers.get(ready)
        await asyncio.to_thread(doomed.kill)
        for _ in range(300):
            now = await asyncio.to_thread(containers_of, docker_engine, provider)
            if now and ready not in now:
                break
            await asyncio.sleep(0.1)
        await provider.warm()
        sandbox = await start(provider, "second")
        assert sandbox.container != doomed.id
        assert (await sandbox.exec("echo alive")).output == "alive\n"

    with_docker(work, DockerSection(pool=1))


def test_other_limits_or_ports_get_containers_of_their_own(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> None:
        await (await start(provider, "plain")).stop()
        await provider.warm()
        (plain,) = await asyncio.to_thread(containers_of, docker_engine, provider)
        waiting = docker_engine.containers.get(plain).id
        other = await start(provider, "ports", ports=(3000,))
        assert other.container != waiting and set(other.listeners) == {3000}
        small = await start(provider, "small", limits=SandboxLimits(disk_mb=4))
        assert small.container != waiting
        await asyncio.gather(other.stop(), small.stop())
        await provider.warm()
        # Two kinds have ready containers, the third and oldest no longer.
        for _ in range(100):
            left = await asyncio.to_thread(
                docker_engine.containers.list, filters={"id": waiting}, ignore_removed=True
            )
            if not left:
                break
            await asyncio.sleep(0.1)
        assert left == []

    with_docker(work, DockerSection(pool=1, pool_kinds=2))


def test_close_while_the_pool_is_filling_leaves_nothing(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> None:
        await start(provider, "first")
        await provider.close()
        assert await asyncio.to_thread(containers_of, docker_engine, provider) == []

    with_docker(work, DockerSection(pool=3))


def test_sixteen_at_once_from_a_pool_of_two(docker_engine: docker.DockerClient) -> None:
    async def work(provider: DockerProvider) -> None:
        async def one(number: int) -> str:
            sandbox = await start(provider, f"s{number}")
            output = (await sandbox.exec(f"echo {number} > me; sleep 0.1; cat me")).output
            await sandbox.stop()
            return output

        assert await asyncio.gather(*map(one, range(16))) == [f"{number}\n" for number in range(16)]

    with_docker(work, DockerSection(pool=2), start_seconds=120.0)
