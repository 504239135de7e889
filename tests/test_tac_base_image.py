"""The base image's scripts and its contract with TAC's Dockerfiles, as far as no Docker is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tac_helpers import EVALUATOR, SCORING, package_folder, with_parts

from tac_rl.office.base import PORTS
from tac_rl.sandboxes.base import Mount, SandboxLimits, SandboxSpec

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "docker" / "tac-base"
KIT = ROOT / "tac_rl" / "tac" / "kit"
SCRIPTS = sorted(IMAGE.glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed_and_executable(script):
    subprocess.run(["bash", "-n", script], check=True, timeout=30)
    assert os.access(script, os.X_OK)


def test_the_context_holds_everything_that_the_dockerfile_copies(tmp_path):
    package_folder(tmp_path, Dockerfile="FROM x\nRUN pip install pandas==2.2.3 torch==2.5.1\n")
    context = tmp_path / "context"
    context.mkdir()
    subprocess.run(
        [IMAGE / "build.sh", tmp_path],
        env={**os.environ, "CONTEXT_ONLY": str(context), "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert (context / "pins.txt").read_text() == "pandas==2.2.3\n"
    files = {path.name for path in (context / "utils").iterdir()}
    assert files == {
        "init.sh",
        "reset.sh",
        "eval.py",
        "encrypt.py",
        "common.py",
        "config.py",
        "scoring.py",
    }
    settings = {path.name for path in (context / "settings").iterdir()}
    assert "pip.conf" in settings
    lines = (context / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from=" not in line]
    assert ["pins.txt", "single.txt"] in copied
    for sources in copied:
        assert all((context / source).exists() for source in sources)


def test_pins_are_normalised_and_hold_in_what_other_packages_need(tmp_path):
    one = "FROM x\nRUN pip install pandas PyPDF2==3.0.1 openpyxl==3.1.2\n"
    package_folder(tmp_path, "sde-one", Dockerfile=one)
    two = "FROM x\nRUN pip install pandas==2.2.3 openpyxl==3.1.5 astor requests==2.29.0\n"
    package_folder(tmp_path, "sde-two", Dockerfile=two)
    context = tmp_path / "context"
    context.mkdir()
    subprocess.run(
        [IMAGE / "build.sh", tmp_path],
        env={**os.environ, "CONTEXT_ONLY": str(context), "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    pins = ["astor", "openpyxl==3.1.2", "openpyxl==3.1.5", "pandas==2.2.3", "pypdf2==3.0.1", "requests==2.29.0"]
    assert (context / "pins.txt").read_text().split() == pins
    assert (context / "single.txt").read_text().split() == ["pandas==2.2.3", "pypdf2==3.0.1"]


def test_a_package_s_build_ends_with_the_evaluator_encrypted():
    lines = [line for line in (IMAGE / "Dockerfile").read_text().splitlines() if line.startswith("ONBUILD")]
    assert [line.split()[1:3] for line in lines] == [
        ["COPY", "*.py"],
        ["COPY", "dependencies.yml"],
        ["COPY", "task.md"],
        ["RUN", "python"],
    ]


def utils_folder(tmp_path: Path) -> Path:
    """`/utils` as a build leaves it, elsewhere, with an encrypted evaluator."""
    utils = tmp_path / "utils"
    utils.mkdir()
    for name in ("eval.py", "encrypt.py"):
        source = (KIT / name).read_text()
        (utils / name).write_text(source.replace('UTILS = "/utils"', f"UTILS = {str(utils)!r}"))
    (utils / "scoring.py").write_bytes(SCORING.read_bytes())
    (utils / "common.py").write_text("def grader(function):\n    return function\n")
    (utils / "evaluator.py").write_text(EVALUATOR.replace("/workspace/", ""))
    subprocess.run([sys.executable, "encrypt.py"], cwd=utils, check=True, timeout=60)
    (utils / "evaluator.py").unlink()
    return utils


def evaluate(utils: Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(utils / "eval.py"), "--result_path", "result.json"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_eval_decrypts_grades_and_writes_tac_s_result(tmp_path):
    utils = utils_folder(tmp_path)
    assert b"def grade" not in (utils / "evaluator.py.enc").read_bytes()
    (tmp_path / "answer.txt").write_text("42")
    done = evaluate(utils, tmp_path, DECRYPTION_KEY="theagentcompany is all you need")
    assert done.returncode == 0, done.stderr
    document = (tmp_path / "result.json").read_text()
    assert (
        document == '{"checkpoints": [{"total": 2, "result": 2}], "final_score": {"total": 2, "result": 2}}'
    )
    assert not (utils / "evaluator.py").exists()


@pytest.mark.parametrize("variables", [{}, {"DECRYPTION_KEY": "another"}])
def test_eval_without_the_key_writes_no_result(tmp_path, variables):
    done = evaluate(utils_folder(tmp_path), tmp_path, **variables)
    assert done.returncode == 1
    assert "DECRYPTION_KEY" in done.stderr
    assert not (tmp_path / "result.json").exists()


def test_init_resets_the_services_and_runs_the_scripts_in_order(tmp_path):
    """In a sandbox with a company: the image's own scripts, a python_default, and TAC's addresses."""
    utils = tmp_path / "utils"
    utils.mkdir()
    (utils / "dependencies.yml").write_text("# - gitlab is not meant\n- rocketchat\n- owncloud\n")
    for name in ("pre_init", "populate_data", "post_init"):
        (utils / f"{name}.py").write_text(f"print('ran {name}')\n")
    (utils / "post_init.sh").write_text("echo ran post_init.sh\n")
    (utils / "pre_init.sh").write_text("")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python_default").write_text('#!/bin/sh\nexec python3 "$@"\n')
    (programs / "python_default").chmod(0o755)
    mounts = [Mount(str(IMAGE / name), f"/image/{name}") for name in ("init.sh", "reset.sh")]
    mounts += [Mount(str(path), f"/utils/{path.name}") for path in utils.iterdir()]
    mounts += [Mount(str(IMAGE / "reset.sh"), "/utils/reset.sh"), Mount(str(programs), "/opt/bin")]

    async def work(provider, office):
        lease = await office.lease("init", "bare")
        spec = SandboxSpec(
            "init",
            SandboxLimits(exec_seconds=60.0),
            read_only_mounts=tuple(mounts),
            path=("/opt/bin",),
            ports=tuple(PORTS.values()),
        )
        sandbox = await provider.start(spec)
        try:
            await lease.serve(sandbox.listeners)
            first = await sandbox.exec("bash /image/init.sh")
            await lease.shut()
            return first, await sandbox.exec("RESET_SECONDS=1 bash /image/init.sh")
        finally:
            await sandbox.stop()
            await lease.close()

    well, down = with_parts(work, office=True)
    assert well.exit_code == 0, well.output
    assert [line for line in well.output.splitlines() if line.startswith(("reset:", "ran "))] == [
        "reset: rocketchat",
        "reset: owncloud",
        "ran pre_init",
        "ran populate_data",
        "ran post_init.sh",
        "ran post_init",
    ]
    assert down.exit_code not in (0, None)
    assert "ran " not in down.output
