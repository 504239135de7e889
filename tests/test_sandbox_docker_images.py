"""Images are found by the content of their build context, and built once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tac_rl.errors import SandboxError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import SandboxSpec
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.images import Images
from tac_rl.sandboxes.docker.labels import owner_labels
from tac_rl.sandboxes.docker.probe import probe
from tac_rl.sandboxes.docker.provider import DockerProvider
from tests.docker_helpers import with_docker

pytestmark = pytest.mark.usefixtures("docker_engine")
BUILD = """
import sys
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.images import Images
daemon = Daemon()
images = Images(daemon, default=None, build_seconds=600)
print(daemon.now(lambda api: images.ensure(api, sys.argv[1])))
"""


@pytest.fixture
def package(tmp_path: Path, docker_engine: docker.DockerClient) -> Iterator[Path]:
    """A task package's folder with an image of its own; its images are removed afterwards."""
    folder = tmp_path / "needs-program"
    (folder / "image").mkdir(parents=True)
    (folder / "Dockerfile").write_text(
        "FROM tac-rl/sandbox\nCOPY image/greet /usr/local/bin/greet\nENV GREETING=hello\n"
    )
    (folder / "image" / "greet").write_text("#!/bin/sh\necho $GREETING $1\n")
    (folder / "image" / "greet").chmod(0o755)
    (folder / "evaluator.py").write_text("SECRET = 1\n")
    yield folder
    for image in docker_engine.images.list("tac-rl/task-needs-program"):
        docker_engine.images.remove(image.id, force=True)


def ensure(folder: Path) -> str:
    daemon = Daemon()
    try:
        images = Images(daemon, default=None, build_seconds=600.0)
        return daemon.now(lambda api: images.ensure(api, str(folder)))
    finally:
        daemon.close()


def test_a_sandbox_runs_in_the_image_of_its_task(package: Path) -> None:
    async def work(provider: DockerProvider) -> str:
        sandbox = await provider.start(SandboxSpec("own", image=str(package)))
        plain = await provider.start(SandboxSpec("plain"))
        result = await sandbox.exec("greet you; find / -name evaluator.py 2>/dev/null")
        missing = await plain.exec("greet you")
        assert missing.exit_code == 127
        return result.output

    assert with_docker(work) == "hello you\n"


def test_an_image_is_built_once_and_anew_when_its_files_change(
    package: Path, docker_engine: docker.DockerClient
) -> None:
    name = ensure(package)
    first = docker_engine.images.get(name)
    assert first.labels["org.tac-rl.kind"] == "task"
    assert ensure(package) == name
    (package / "evaluator.py").write_text("SECRET = 2\n")
    assert ensure(package) == name, "the checker is no part of an image"
    (package / "image" / "greet").write_text("#!/bin/sh\necho good day\n")
    other = ensure(package)
    assert other != name and docker_engine.images.get(other).id != first.id
    (package / "image" / "greet").write_text("#!/bin/sh\necho $GREETING $1\n")
    assert ensure(package) == name, "it is still there"


def test_processes_that_ask_at_once_build_once(package: Path, docker_engine: docker.DockerClient) -> None:
    command = [sys.executable, "-c", BUILD, str(package)]
    asking = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=120)[0].strip() for process in asking}
    assert len(said) == 1 and "" not in said
    built = docker_engine.images.list(filters={"label": "org.tac-rl.kind=task"})
    assert len([image for image in built if image.tags == [*said]]) == 1


def test_a_build_that_fails_says_why(package: Path) -> None:
    (package / "Dockerfile").write_text("FROM tac-rl/sandbox\nRUN echo the reason && false\n")
    with pytest.raises(SandboxError, match=r"Dockerfile: docker build failed: .*the reason"):
        ensure(package)


def test_an_image_that_can_not_be_a_sandbox_is_refused_with_the_reason(package: Path) -> None:
    async def work(provider: DockerProvider) -> None:
        for lines, reason in (
            ("RUN mkdir -p /workspace && touch /workspace/data.csv", "/workspace/data.csv would be covered"),
            ("RUN rm /usr/bin/python3*", "Python 3.9 or newer must be there"),
            ("RUN rm /usr/bin/bash", "/bin/bash is missing"),
        ):
            (package / "Dockerfile").write_text(f"FROM tac-rl/sandbox\n{lines}\n")
            provider._images._known.clear()
            with pytest.raises(SandboxError, match=reason):
                await provider.start(SandboxSpec("x", image=str(package)))
        (package / "Dockerfile").unlink()
        provider._images._known.clear()
        with pytest.raises(SandboxError, match="Dockerfile is not there"):
            await provider.start(SandboxSpec("x", image=str(package)))

    with_docker(work)


def test_a_docker_that_gives_a_network_where_none_is_wanted_is_refused(
    docker_engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class GenerousApi:
        """Docker's real API, but every container gets Docker's own network."""

        def __getattr__(self, name: str) -> Any:
            return getattr(docker_engine.api, name)

        def create_container_from_config(self, config: dict[str, Any]) -> Any:
            host = {**config["HostConfig"], "NetworkMode": "bridge"}
            wanted = {**config, "NetworkDisabled": False, "HostConfig": host}
            return docker_engine.api.create_container_from_config(wanted)

    monkeypatch.setattr(runtime, "runtime_base", lambda: tmp_path)
    image = docker_engine.images.get("tac-rl/sandbox:latest").id
    with pytest.raises(SandboxError, match="gives containers a network that are to have none"):
        probe(GenerousApi(), image, "tac-rl/sandbox", owner_labels(""))
    assert list(tmp_path.iterdir()) == []
    assert probe(docker_engine.api, image, "tac-rl/sandbox", owner_labels("")).folder.parent == tmp_path
