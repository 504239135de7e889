"""TAC-style packages in containers: images of their own Dockerfiles, built on our base image without a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import TaskError
from tac_rl.office.base import PORTS
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxProvider, SandboxSpec
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.provider import DockerProvider
from tac_rl.tac.cli import main
from tac_rl.tac.container import Containers
from tac_rl.tac.folder import read_folder
from tac_rl.tac.packages import TacPackage, load_tac_package
from tac_rl.tac.rooms import SECRET, Tools
from tests.docker_helpers import needs_docker
from tests.tac_helpers import attempt, package_folder, with_parts

ROOT = Path(__file__).parent.parent
BASE = "tac-rl/test-tac-base:1"
"""Stays, as a cache: what takes minutes of its making is shared with the real one."""
FROM = f"FROM {BASE}\n"
pytestmark = pytest.mark.timeout(3700)  # The first of them may make the base image.


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Our base image, with the fake checkout's common.py; what the tests build on it goes afterwards."""
    needs_docker()
    checkout = tmp_path_factory.mktemp("checkout")
    package_folder(checkout, Dockerfile=f"{FROM}RUN pip install astor==0.8.1\n")
    variables = {"IMAGE": BASE, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [ROOT / "docker" / "tac-base" / "build.sh", checkout],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield
    client = docker.from_env(timeout=60)
    for name in ("tac-rl/task-test-*", "tac-rl/tac-test-*"):
        for image in client.images.list(filters={"reference": name}):
            for tag in image.tags:
                client.images.remove(tag)
    client.close()


@pytest.fixture
def containers(base: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Containers]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    daemon = Daemon()
    yield Containers(daemon, build_seconds=600)
    daemon.close()


def tools(containers: Containers) -> Tools:
    return Tools(None, None, "bare", 60.0, containers)


def provider() -> DockerProvider:
    return DockerProvider(DockerSection(pool=0))


def run_in(image: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "run", "--rm", "--network", "none", *options, image, "bash", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_package_builds_unchanged_without_a_network_and_its_evaluator_is_out_of_reach(containers, tmp_path):
    folder = package_folder(
        tmp_path,
        "test-builds",
        Dockerfile=f"{FROM}RUN apt-get update && apt-get install -y zip cmake\nRUN pip install astor==0.8.1\n"
        "COPY scenarios.json /npc\nCOPY data.csv *.txt /utils\n",
        more__txt="",
        scenarios__json="{}",
        data__csv="the,answer\n",
    )
    image = containers.build(read_folder(folder))
    look = "ls /utils && python -c 'import astor' && python_default --version && cat /instruction/task.md && pwd"
    as_root = run_in(image, look)
    assert as_root.returncode == 0, as_root.stderr
    assert "evaluator.py.enc\n" in as_root.stdout
    assert "evaluator.py\n" not in as_root.stdout
    assert "encrypt.py" not in as_root.stdout
    assert as_root.stdout.endswith("Write 42 to answer.txt\n/workspace\n")
    assert "more.txt\n" in as_root.stdout  # BuildKit takes a folder without a slash, the classic builder doesn't.
    for path in ("/utils", "/utils/data.csv", "/utils/evaluator.py.enc", "/npc/scenarios.json"):
        assert "Permission denied" in run_in(image, f"cat {path}", "--user", "agent").stderr
    assert containers.build(read_folder(folder)) == image  # There already.


def test_init_and_eval_do_their_work_inside_against_a_company(containers, tmp_path):
    folder = package_folder(
        tmp_path,
        "test-init",
        Dockerfile=FROM,
        dependencies__yml="- rocketchat\n",
        populate_data__py="from common import *\nprint('logged in as', login()['X-User-Id'] and 'somebody')\n",
    )
    image = containers.image_of(read_folder(folder))

    async def work(provider, office):
        lease = await office.lease("init", "bare")
        limits = SandboxLimits(exec_seconds=120.0, processes=256)
        spec = SandboxSpec("init", limits, ports=tuple(PORTS.values()), image=image.room)
        sandbox = await provider.start(spec)
        try:
            await lease.serve(sandbox.listeners)
            made = await sandbox.exec("bash /utils/init.sh")
            await sandbox.put({"answer.txt": b"42\n"})
            wrong = await sandbox.exec("DECRYPTION_KEY=no python_default /utils/eval.py; ls result.json")
            grading = f"DECRYPTION_KEY='{SECRET}' python_default /utils/eval.py && cat result.json"
            return made, wrong, await sandbox.exec(grading)
        finally:
            await sandbox.stop()
            await lease.close()

    made, wrong, graded = with_parts(work, office=True, kind=provider)
    assert made.exit_code == 0, made.output
    assert "reset: rocketchat" in made.output
    assert "logged in as somebody" in made.output
    assert wrong.exit_code != 0
    assert graded.exit_code == 0, graded.output
    assert graded.output.endswith(
        '{"checkpoints": [{"total": 2, "result": 2}], "final_score": {"total": 2, "result": 2}}'
    )


EVALUATOR = """
from common import grader
from scoring import Checkpoint, Result

@grader
def copied():
    return open("/data/copy.txt").read() == open("/utils/reference.txt").read()

@grader
def prepared():
    return open("/workspace/prepared.txt").read() == "by the script, after 42\\n"

def grade_checkpoints(trajectory=""):
    return Result([Checkpoint(1, int(prepared())), Checkpoint(2, 2 * int(copied()))])
"""


def container_package(root: Path) -> Path:
    """Made by instructions that only a container can follow, prepared by a script, graded outside the workspace."""
    return package_folder(
        root,
        "test-attempt",
        Dockerfile=f"{FROM}COPY input.txt /workspace/\nCOPY reference.txt /utils/\n"
        "RUN mkdir -p /data && tr a-z A-Z < /workspace/input.txt > /data/number.txt && echo 42 > seen.txt\n",
        input__txt="forty-two\n",
        reference__txt="FORTY-TWO\n",
        populate_data__py="text = 'by the script, after ' + open('seen.txt').read()\n"
        "open('/workspace/prepared.txt', 'w').write(text)\n",
        dependencies__yml="- rocketchat\n",
        evaluator__py=EVALUATOR,
    )


def attempted(package: TacPackage, command: str) -> tuple[str, tuple[int, ...]]:
    """What a command of the agent's printed, and what its attempt earned."""
    said = []

    async def agent(sandbox: Sandbox) -> None:
        said.append((await sandbox.exec(command)).output)

    async def work(provider: SandboxProvider, office):
        return await attempt(package, provider, office, agent)

    grade = with_parts(work, office=True, kind=provider)
    return said[0], tuple(checkpoint.result for checkpoint in grade.checkpoints)


def test_what_only_a_container_can_follow_is_run_initialised_and_graded_in_one(containers, tmp_path):
    package = load_tac_package(container_package(tmp_path), tools(containers))
    said, results = attempted(
        package,
        "ls -d /utils /npc; cat /instruction/task.md; ls; cat prepared.txt; cp /data/number.txt /data/copy.txt;"
        " curl -s -o /dev/null -w '%{http_code}' http://the-agent-company.com:3000/api/info",
    )
    assert "cannot access '/utils'" in said
    assert "cannot access '/npc'" in said
    assert "Write 42 to answer.txt\ninput.txt\nprepared.txt\nseen.txt\nby the script, after 42\n200" in said
    assert results == (1, 2)
    assert attempted(package, "rm prepared.txt")[1] == (0, 0)


def test_images_that_cannot_be_built_are_told_with_the_end_of_their_output(containers, tmp_path):
    fails = package_folder(tmp_path, "test-fails", Dockerfile=f"{FROM}RUN echo just before && false\n")
    with pytest.raises(TaskError, match=r"test-fails/Dockerfile: docker build failed: .*just before"):
        load_tac_package(fails, tools(containers))
    reaches = package_folder(tmp_path, "test-reaches", Dockerfile=f"{FROM}RUN pip install nothing-of-this-name\n")
    with pytest.raises(TaskError, match="No matching distribution found for nothing-of-this-name"):
        load_tac_package(reaches, tools(containers))
    orphan = package_folder(tmp_path, "test-orphan", Dockerfile="FROM tac-rl/test-no-such:1\n")
    with pytest.raises(TaskError, match=r"test-no-such:1 is not here: make it with docker/tac-base/build.sh"):
        load_tac_package(orphan, tools(containers))


def test_the_table_of_images_counts_what_builds_and_names_what_is_lacking(containers, tmp_path, capsys):
    package_folder(tmp_path, "test-fine", Dockerfile=FROM)
    package_folder(tmp_path, "test-lacks", Dockerfile=FROM, evaluator__py="import nothing_such\n")
    package_folder(tmp_path, "test-needs", Dockerfile=f"{FROM}RUN pip install nothing-of-this-name\n")
    package_folder(tmp_path, "test-stops", Dockerfile=f"{FROM}RUN exit 7\n")
    package_folder(tmp_path, "test-fetches", Dockerfile=f"{FROM}RUN curl https://example.com/x | sh\n")
    document = tmp_path / "tac.md"
    document.write_text("<!-- images: begin -->\nold\n<!-- images: end -->\nafter\n")
    assert main(["images", str(tmp_path), "--out", str(document)]) == 0
    text = document.read_text()
    assert text.startswith("<!-- images: begin -->\n| images | |\n")
    assert text.endswith("<!-- images: end -->\nafter\n")
    assert "| Dockerfiles, unchanged, without a network | 5 |\n| build | 3 |\n" in text
    assert "test-fine" not in text
    assert "| test-lacks | yes | Python's nothing_such |" in text
    assert "| test-needs | no: nothing-of-this-name is not in the base image | |" in text
    assert "| test-stops | no: a RUN of its own exited with 7 | |" in text
    assert "| test-fetches | yes | internet (example.com) |" in text
    assert "test-fine: builds" in capsys.readouterr().out
    client = docker.from_env(timeout=60)
    assert client.images.list(filters={"reference": "tac-rl/tac-test-f*"}) == []
    client.close()
