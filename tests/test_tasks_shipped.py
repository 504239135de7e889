"""The packages that ship with the repository. `python -m tac_rl.tasks check` is the long form of this."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tasks.determinism import digest
from tac_rl.tasks.gate import check_packages
from tac_rl.tasks.packages import find_folders, load_package, load_packages, split_seed

TASKS = Path(__file__).parents[1] / "tasks"
PACKAGES = find_folders(TASKS)


def test_there_are_ten_packages_of_six_roles_and_every_difficulty_of_the_curriculum():
    packages = load_packages(TASKS)
    assert len(packages) >= 10
    assert len({package.role for package in packages}) >= 6
    assert {package.difficulty for package in packages} >= {1, 2, 3}
    assert all(package.name.startswith(f"{package.role}-") for package in packages)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_training_and_held_out_instances_differ(folder):
    package = load_package(folder)
    train, heldout = (
        {digest(package.instantiate(split_seed(split, index))) for index in range(50)}
        for split in ("train", "heldout")
    )
    assert not train & heldout


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_a_shipped_package_passes_the_gate(folder):
    async def run():
        provider = BubblewrapProvider()
        try:
            async with aclosing(check_packages([folder], provider, seeds=2)) as verdicts:
                return await anext(verdicts)
        finally:
            await provider.close()

    assert asyncio.run(run()).problems == ()
