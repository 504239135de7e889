"""The packages that ship with the repository. `python -m tac_rl.tasks check` is the long form of this."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from tac_rl.config.office import OfficeSection
from tac_rl.office.build import build_office
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.determinism import digest
from tac_rl.tasks.gate import check_packages
from tac_rl.tasks.packages import find_folders, load_package, load_packages, split_seed

TASKS = Path(__file__).parents[1] / "tasks"
PACKAGES = find_folders(TASKS)


def test_there_are_enough_packages_of_many_roles_and_every_difficulty():
    packages = load_packages(TASKS)
    assert len(packages) >= 24
    assert sum(bool(package.services) for package in packages) >= 14
    assert len({package.role for package in packages}) >= 8
    assert {package.difficulty for package in packages} == {1, 2, 3, 4, 5}
    assert all(package.name.startswith(f"{package.role}-") for package in packages)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_training_and_held_out_instances_differ(folder):
    package = load_package(folder)
    train, heldout = (
        {digest(package.instantiate(split_seed(split, index))) for index in range(50)}
        for split in ("train", "heldout")
    )
    assert not train & heldout


@pytest.fixture(scope="module")
def checked_by():
    """Runs the gate on one package, in an office and with sandboxes that all packages share."""
    with asyncio.Runner() as runner:
        provider, office = BubblewrapProvider(), build_office(OfficeSection())

        async def check(folder):
            async with aclosing(check_packages([folder], provider, office, seeds=2)) as verdicts:
                return await anext(verdicts)

        yield lambda folder: runner.run(check(folder))
        runner.run(provider.close())
        runner.run(office.stop())


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_a_shipped_package_passes_the_gate(folder, checked_by):
    assert checked_by(folder).problems == ()
