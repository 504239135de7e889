"""`tac-rl sandbox cleanup`: lists what dead processes left, and removes it only when told to."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tac_rl.sandboxes.docker.labels import place
from tests.docker_helpers import containers_of, with_docker

DEAD = "4194000-1"


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        yield Path(folder)


def cleanup(base: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tac_rl.cli", "sandbox", "cleanup", "--runtime-dir", str(base), *options]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[1],
    )


def test_nothing_is_removed_before_somebody_says_yes(base: Path) -> None:
    left = base / DEAD / "abcd" / "0"
    left.mkdir(parents=True)
    listed = cleanup(base)
    assert listed.returncode == 1
    assert str(base / DEAD) in listed.stdout and "nothing was removed: --yes" in listed.stderr
    assert left.is_dir()
    removed = cleanup(base, "--yes")
    assert removed.returncode == 0 and "removed " in removed.stdout
    assert list(base.iterdir()) == []


def test_containers_and_volumes_of_dead_owners_go_and_all_others_stay(
    docker_engine: docker.DockerClient, base: Path
) -> None:
    def labels(owner: str, where: str) -> dict[str, str]:
        return {"org.tac-rl.kind": "sandbox", "org.tac-rl.owner": owner, "org.tac-rl.place": where}

    async def work(provider) -> None:  # type: ignore[no-untyped-def]
        from tac_rl.sandboxes.base import SandboxSpec

        sandbox = await provider.start(SandboxSpec("living"))

        def run(**marks: str) -> docker.models.containers.Container:
            return docker_engine.containers.run(
                "tac-rl/sandbox:latest", "sleep 300", labels=marks, network_mode="none", detach=True
            )

        orphan = run(**labels(DEAD, place()))
        elsewhere = run(**labels(DEAD, "another boot/1"))
        stranger = run(mine="yes")
        volume = docker_engine.volumes.create(labels=labels(DEAD, place()))
        try:
            listed = cleanup(base)
            assert orphan.name in listed.stdout and volume.name in listed.stdout
            for kept in (elsewhere.name, stranger.name, sandbox.name):
                assert kept not in listed.stdout
            orphan.reload()
            assert cleanup(base, "--yes").returncode == 0
            for gone in (lambda: orphan.reload(), lambda: volume.reload()):
                with pytest.raises(docker.errors.NotFound):
                    gone()
            elsewhere.reload()
            stranger.reload()
            assert sandbox.name in containers_of(docker_engine, provider)
        finally:
            for container in (orphan, elsewhere, stranger):
                try:
                    container.remove(force=True)
                except docker.errors.NotFound:
                    continue

    with_docker(work, runtime_dir=base)


def test_without_docker_the_rest_is_cleaned_all_the_same(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{base}/none.sock")
    (base / DEAD).mkdir()
    done = cleanup(base, "--yes")
    assert done.returncode == 0 and "Docker is not looked at" in done.stderr
    assert not (base / DEAD).exists()
