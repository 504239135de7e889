"""Grading in real sandboxes: faults of the evaluator are ours, whatever is left behind gets a grade."""

import asyncio
import io
import tarfile
from contextlib import asynccontextmanager

import pytest
from tasks_fakes import package_folder, package_with_evaluator

from tac_rl.errors import GradingError, TaskError
from tac_rl.sandboxes.base import SandboxLimits, SandboxSpec
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks import grading
from tac_rl.tasks.base import Grade, TaskInstance
from tac_rl.tasks.demonstrations import Slips, demonstrate
from tac_rl.tasks.grading import grade
from tac_rl.tasks.layout import lay_out
from tac_rl.tasks.packages import load_package

EMPTY = b"\0" * 10240


@asynccontextmanager
async def provider():
    sandboxes = BubblewrapProvider()
    try:
        yield sandboxes
    finally:
        await sandboxes.close()


def tar_of(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def graded(package, tar=EMPTY, facts=None, trajectory="") -> Grade:
    instance = TaskInstance(task=package.name, seed=1, instruction="", facts=facts or {})

    async def run():
        async with provider() as sandboxes:
            return await grade(instance, package, tar, trajectory, sandboxes)

    return asyncio.run(run())


def test_an_attempt_is_laid_out_worked_on_and_graded(tmp_path):
    package = load_package(package_folder(tmp_path))
    instance = package.instantiate(0)

    async def attempt(slips):
        async with provider() as sandboxes:
            sandbox = await sandboxes.start(SandboxSpec(name="attempt"))
            await lay_out(instance, sandbox)
            steps = await demonstrate(package, instance, sandbox, slips)
            await sandbox.freeze()
            tar = await sandbox.export(max_bytes=1 << 24)
            return steps, await grade(instance, package, tar, "", sandboxes)

    steps, full = asyncio.run(attempt(Slips()))
    assert full.complete
    assert full.score == 1.0
    assert len(steps) == 2
    _, wrong = asyncio.run(attempt(Slips(always=("wrong_file",))))
    assert (wrong.final_result, wrong.score) == (0, 0.0)


def test_setup_runs_before_the_agent_and_leaves_its_shell_alone(tmp_path):
    instance = TaskInstance(
        task="t", seed=0, instruction="", files={"a/x": b"1"}, setup=("cd a; y=2; cp x z", "test -f a/z")
    )

    async def run():
        async with provider() as sandboxes:
            sandbox = await sandboxes.start(SandboxSpec(name="setup"))
            await lay_out(instance, sandbox)
            return (await sandbox.exec("echo $y $PWD; cat a/z")).output

    assert asyncio.run(run()) == "/workspace\n1"


def test_a_failing_setup_command_names_itself():
    instance = TaskInstance(task="t", seed=4, instruction="", setup=("echo why; false; true",))

    async def run():
        async with provider() as sandboxes:
            await lay_out(instance, await sandboxes.start(SandboxSpec(name="setup")))

    with pytest.raises(
        TaskError, match=r"task t, seed 4: the setup command .* exited with 1; it printed 'why"
    ):
        asyncio.run(run())


def test_facts_trajectory_and_workspace_reach_the_evaluator(tmp_path):
    package = package_with_evaluator(
        tmp_path,
        "here = common.read_text('x.txt') == common.facts()['text']\n"
        "return Result([Checkpoint(1, here), Checkpoint(2, 2 * int('tr\\u00e4ce' in trajectory))])",
    )
    assert graded(package, tar_of(**{"x.txt": "süß".encode()}), {"text": "süß"}, "a träce").complete


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise RuntimeError('broken ruler')", "RuntimeError: broken ruler"),
        ("return 7", "must return a scoring.Result, got int"),
        ("return None", "got NoneType"),
        ("return Result([])", "without checkpoints"),
        ("return Result([Checkpoint(1, 2)])", "must not exceed"),
        ("return Result([Checkpoint(1, 1)], lambda c: {'total': 5, 'result': 5})", "not the sum"),
        ("return Result([Checkpoint(1, 1)], lambda c: 'fine')", "final_score must have the keys"),
        ("import sys; sys.exit(0)", "the evaluator failed"),
        ("os._exit(0)", "the evaluator failed"),
        ("os.kill(os.getpid(), 9)", "the evaluator failed"),
        ("import requests", "ModuleNotFoundError"),
    ],
)
def test_an_evaluator_that_fails_is_our_failure_and_no_zero(tmp_path, body, complaint):
    with pytest.raises(GradingError, match=complaint):
        graded(package_with_evaluator(tmp_path, body))


def test_an_evaluator_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "LIMITS", SandboxLimits(exec_seconds=0.5))
    with pytest.raises(GradingError, match="did not end in"):
        graded(package_with_evaluator(tmp_path, "while True: pass"))


def test_an_evaluator_that_floods_its_output_is_refused(tmp_path):
    body = "for _ in range(1 << 9): print('x' * (1 << 18))\nreturn Result([Checkpoint(1, 1)])"
    with pytest.raises(GradingError, match="flooded its output"):
        graded(package_with_evaluator(tmp_path, body))


def test_an_evaluator_that_takes_all_memory_is_our_failure(tmp_path):
    with pytest.raises(GradingError, match="the evaluator failed"):
        graded(package_with_evaluator(tmp_path, "x = bytearray(1 << 34)\nreturn Result([Checkpoint(1, 1)])"))


def test_a_few_prints_of_an_evaluator_do_no_harm(tmp_path):
    assert graded(
        package_with_evaluator(tmp_path, "print('hm', end='')\nreturn Result([Checkpoint(1, 1)])")
    ).complete


def test_a_broken_archive_is_graded_as_far_as_it_goes(tmp_path):
    body = "return Result([Checkpoint(1, common.read_text('a') == 'A'), Checkpoint(1, common.read_text('b') == 'B')])"
    package = package_with_evaluator(tmp_path, body)
    whole = tar_of(a=b"A", b=b"B")
    assert graded(package, whole).complete
    assert graded(package, whole[:1100]).final_result == 1
    assert graded(package, b"no archive").final_result == 0


def test_an_archive_writes_nowhere_else(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp/utils"
        tar.addfile(link)
        for name in ("out/common.py", "../tmp/utils/scoring.py", "/tmp/utils/eval.py", "good"):
            entry = tarfile.TarInfo(name)
            entry.size = 7
            tar.addfile(entry, io.BytesIO(b"1 / 0 \n"))
    body = "return Result([Checkpoint(1, common.read_text('good') != '')])"
    assert graded(package_with_evaluator(tmp_path, body), buffer.getvalue()).complete


RUNS = (
    "ran = common.run(['sh', 'x.sh'], seconds=3)\n"
    "return Result([Checkpoint(1, ran.output.strip() == 'fine'), Checkpoint(1, common.read_text('x.sh') != '')])"
)


def test_an_evaluator_may_run_what_agents_wrote(tmp_path):
    assert graded(package_with_evaluator(tmp_path, RUNS), tar_of(**{"x.sh": b"echo fine"})).complete


@pytest.mark.parametrize(
    "script",
    [
        "kill -9 $PPID",
        "kill -9 -1",
        "(sleep 0.05; kill -9 -1) & echo fine",
        "echo fine; kill -STOP $PPID; sleep 60",
        "rm -rf /tmp/utils /workspace/*; kill -9 -1",
    ],
)
def test_a_program_that_brings_the_grading_down_earns_nothing(tmp_path, script, monkeypatch):
    monkeypatch.setattr(grading, "LIMITS", SandboxLimits(exec_seconds=2.0))
    found = graded(package_with_evaluator(tmp_path, RUNS), tar_of(**{"x.sh": script.encode()}))
    assert found.checkpoints[1].result == 1
    assert not found.complete or script.startswith("(sleep")


def test_a_program_finds_neither_facts_nor_evaluator_nor_a_way_to_speak_for_it(tmp_path):
    script = rb"""
cd /tmp/utils 2>/dev/null && ls | tr '\n' ' '
cat /tmp/utils/job /tmp/utils/evaluator.py 2>/dev/null
grep -rls -e s3cret /tmp /home /dev/shm /proc/$PPID/environ /proc/$PPID/cmdline 2>/dev/null
cat /proc/$PPID/mem 2>&1 | head -c 20
echo forged > /proc/$PPID/fd/1
"""
    body = (
        "ran = common.run(['sh', 'x.sh'])\n"
        "print(ran.output)\n"
        "clean = not any(word in ran.output for word in ('s3cret', 'job', 'evaluator.py', 'grade_checkpoints'))\n"
        "return Result([Checkpoint(1, clean), Checkpoint(1, 'enied' in ran.output)])"
    )
    package = package_with_evaluator(tmp_path, body)
    assert graded(package, tar_of(**{"x.sh": script}), {"answer": "s3cret"}).complete
