"""What a rollout needs of a task package, whichever kind it is (ours: `packages.py`; TAC's: `tac_rl/tac/`)."""

from typing import Protocol

from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Sandbox, SandboxProvider
from tac_rl.tasks.base import Grade, TaskInstance


class Package(Protocol):
    """A kind of work, and how an attempt at it begins and is graded."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def difficulty(self) -> int: ...

    @property
    def services(self) -> tuple[str, ...]: ...

    @property
    def max_turns(self) -> int | None: ...

    @property
    def rubric(self) -> str | None:
        """What a judge should look at beyond the checkpoints; None where the package doesn't say."""
        ...

    def instantiate(self, seed: int) -> TaskInstance:
        """The instance of `seed`: the same seed gives the same instance, in every process."""
        ...

    async def lay_out(
        self,
        instance: TaskInstance,
        sandbox: Sandbox,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> None:
        """Make the agent's sandbox and its company ready. `provider` gives another sandbox, where needed.

        `TaskError` where the package is wrong, `InfrastructureError` where a part of ours is.
        """
        ...

    async def grade(
        self,
        instance: TaskInstance,
        workspace_tar: bytes,
        trajectory: str,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> Grade:
        """Grade what was left (as `Sandbox.export` makes it, and in the company); `GradingError` where that fails."""
        ...
