"""Rollouts of office tasks: a company for each, graded where it was left, and infrastructure failures when it dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tac_rl.agents.base import AgentStep
from tac_rl.agents.scripted import OracleAgent
from tac_rl.assembly import DEFAULT_CONTEXT
from tac_rl.config.office import OfficeSection
from tac_rl.config.run import RunConfig
from tac_rl.errors import OverlayError
from tac_rl.office.build import build_office
from tac_rl.office.overlay_file import read_overlay
from tac_rl.office.process import EmbeddedOffice
from tac_rl.rollouts.attempts import Attempts
from tac_rl.rollouts.outcomes import Outcome
from tac_rl.rollouts.rollout import Workshop, run_rollout
from tac_rl.sandboxes.base import SandboxLimits
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.base import Checkpoint, Grade
from tac_rl.tasks.demonstrations import oracle_of
from tac_rl.tasks.packages import load_package
from tests.office_helpers import only_process_of

ROOT = Path(__file__).parents[1]
PACKAGE = load_package(ROOT / "tasks" / "finance-ask-budget")


def in_a_workshop(work: Callable[[Workshop, EmbeddedOffice], Awaitable[None]]) -> None:
    async def run() -> None:
        office, provider = build_office(OfficeSection()), BubblewrapProvider()
        assert isinstance(office, EmbeddedOffice)
        workshop = Workshop(
            sandboxes=provider,
            sandbox_limits=SandboxLimits(),
            agent_for=lambda package: OracleAgent(oracle_of(package)),
            gateway=None,
            context_limit=DEFAULT_CONTEXT,
            office=office,
            record_changes=True,
        )
        try:
            await office.start()
            await work(workshop, office)
        finally:
            await office.stop()
            await provider.close()

    asyncio.run(run())


def test_a_group_of_eight_works_at_once_each_in_a_company_of_its_own() -> None:
    async def work(workshop: Workshop, office: EmbeddedOffice) -> None:
        attempts = Attempts(RunConfig(), [PACKAGE], [], workshop)
        plans = [attempts.plan(PACKAGE, 5, version=0, temperature=1.0, number=n) for n in range(8)]
        results = await asyncio.gather(*(run_rollout(plan, workshop) for plan in plans))
        assert [r.outcome for r in results] == [Outcome.FINISHED] * 8
        assert all(r.grade is not None and r.grade.complete for r in results)
        # Every attempt sees one conversation and one announcement: its own.
        assert len({r.changes for r in results}) == 1 and len(results[0].changes) == 3

    in_a_workshop(work)


def test_an_office_that_dies_ends_the_attempt_as_our_failure_and_the_next_attempt_works() -> None:
    async def work(workshop: Workshop, office: EmbeddedOffice) -> None:
        plan = Attempts(RunConfig(), [PACKAGE], [], workshop).plan(PACKAGE, 5, version=0, temperature=1.0)

        def kill_the_office(step: AgentStep) -> None:
            os.kill(only_process_of(office), signal.SIGKILL)

        result = await run_rollout(plan, workshop, watch=kill_the_office)
        assert result.outcome is Outcome.INFRASTRUCTURE_FAILED and result.grade is None
        assert "office" in result.detail
        again = await run_rollout(plan, workshop)
        assert again.grade is not None and again.grade.complete

    in_a_workshop(work)


class FakeSilentEvaluator:
    """The package, but the office dies under its evaluator, which takes that for work not done, as TAC's do."""

    def __init__(self, office: EmbeddedOffice) -> None:
        self._office = office

    def __getattr__(self, name: str) -> object:
        return getattr(PACKAGE, name)

    async def grade(self, *what: object) -> Grade:
        os.kill(only_process_of(self._office), signal.SIGKILL)
        return Grade((Checkpoint(1, 0),), 1, 0)


def test_an_office_that_dies_under_the_evaluator_is_our_failure_and_no_zero() -> None:
    async def work(workshop: Workshop, office: EmbeddedOffice) -> None:
        plan = Attempts(RunConfig(), [PACKAGE], [], workshop).plan(PACKAGE, 5, version=0, temperature=1.0)
        result = await run_rollout(replace(plan, package=FakeSilentEvaluator(office)), workshop)
        assert result.outcome is Outcome.INFRASTRUCTURE_FAILED and result.grade is None
        assert "office" in result.detail

    in_a_workshop(work)


def test_a_package_whose_overlay_cant_be_laid_is_our_failure_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "finance-ask-budget"
    folder.mkdir()
    for path in PACKAGE.folder.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    instance = (folder / "instance.py").read_text()
    (folder / "instance.py").write_text(instance.replace('"members": [name]', '"members": ["nobody_at_all"]'))
    broken = load_package(folder)

    async def work(workshop: Workshop, office: EmbeddedOffice) -> None:
        plan = Attempts(RunConfig(), [broken], [], workshop).plan(broken, 5, version=0, temperature=1.0)
        result = await run_rollout(plan, workshop)
        assert result.outcome is Outcome.INFRASTRUCTURE_FAILED
        assert "finance-ask-budget" in result.detail and "nobody_at_all" in result.detail

    in_a_workshop(work)


def test_the_door_lays_an_overlay_and_tells_what_changed(tmp_path: Path) -> None:
    overlay, script = tmp_path / "overlay.yaml", tmp_path / "script"
    overlay.write_text(
        "chat:\n  channels:\n    - {name: launch, messages: [{from: alex_turner, text: Ready now}]}\n"
    )
    script.write_text("chat read launch\nchat send launch yes, ready\n")
    command = [
        sys.executable,
        "tac_rl/rollout.py",
        "--task",
        str(PACKAGE.folder),
        "--agent",
        f"script:{script}",
    ]
    done = subprocess.run(
        [*command, "--overlay", str(overlay), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "alex_turner: Ready now" in done.stderr
    assert 'wrote in #launch: "yes, ready"' in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["score"] == 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("chat:\n  channels:\n    - nam: x\n", 3, "nam"),
        ("people:\n  - username: Big Name\n    name: x\n", 2, "username"),
        ("chat: {\n", 2, "YAML"),
        ("- a list\n", 1, "mapping"),
        ("drive:\n  files: {}\n\n  file: {}\n", 4, "did you mean files"),
    ],
)
def test_a_mistake_in_an_overlay_file_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    with pytest.raises(OverlayError) as caught:
        read_overlay(path)
    assert f"{path}:{line}: " in str(caught.value) and words in str(caught.value)
