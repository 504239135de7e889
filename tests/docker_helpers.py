"""Real Docker for tests: skipped with the reason where no daemon answers (in CI a skip is a failure)."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import docker
import pytest

from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import SandboxError
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.provider import DockerProvider

T = TypeVar("T")


@functools.cache
def why_no_docker() -> str | None:
    """Why Docker can't be used here; None where it can."""
    daemon = Daemon()
    try:
        daemon.check()
    except SandboxError as error:
        return str(error)
    finally:
        daemon.close()
    return None


def needs_docker() -> None:
    """Skip the running test where Docker can't be used."""
    if (reason := why_no_docker()) is not None:
        pytest.skip(reason)


@pytest.fixture
def docker_engine():
    """The SDK's client."""
    needs_docker()
    client = docker.from_env(timeout=60)
    yield client
    client.close()


def with_docker(
    work: Callable[[DockerProvider], Awaitable[T]], section: DockerSection | None = None, **options: object
) -> T:
    """What `work` returns for a provider without a pool (or with what `section` says), closed afterwards."""

    async def run() -> T:
        provider = DockerProvider(section or DockerSection(pool=0), **options)  # type: ignore[arg-type]
        try:
            return await work(provider)
        finally:
            await provider.close()

    return asyncio.run(run())


def containers_of(client: docker.DockerClient, provider: DockerProvider) -> list[str]:
    """Names of the containers of this process's providers, running or not."""
    owner = provider._labels["org.tac-rl.owner"]
    found = client.api.containers(all=True, filters={"label": f"org.tac-rl.owner={owner}"})
    return sorted(entry["Names"][0].lstrip("/") for entry in found)
