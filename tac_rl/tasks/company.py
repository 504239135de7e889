"""The company of an attempt: leased for its instance, reached by the commands of its sandboxes."""

from dataclasses import replace

from tac_rl.errors import OfficeError, OverlayError, TaskError
from tac_rl.office.base import PORTS
from tac_rl.office.overlay import Overlay
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Mount, Sandbox, SandboxLimits, SandboxSpec
from tac_rl.tasks.base import Company, TaskInstance
from tac_rl.tasks.layout import lay_out

COMMANDS = "/opt/office"
"""Where the office's command line (`chat`, `forge`, `tracker`, `drive`) lies in a sandbox."""


def with_overlay(instance: TaskInstance, overlay: Overlay) -> TaskInstance:
    """The instance with one more overlay over its company; one without services starts from the `bare` snapshot."""
    company = instance.company or Company("bare")
    return replace(instance, company=replace(company, overlays=(*company.overlays, overlay)))


async def lease_company(instance: TaskInstance, office: Office | None, name: str) -> Lease | None:
    """A fresh company as the instance wants it; None where it needs none.

    `TaskError` where the package's overlay can't be laid, `OfficeError` where the office fails.
    """
    if instance.company is None:
        return None
    if office is None:
        raise OfficeError(f"task {instance.task} needs the office, and none was started")
    try:
        return await office.lease(
            name, instance.company.snapshot, instance.company.overlays, seed=instance.seed
        )
    except OverlayError as error:
        raise TaskError(
            f"task {instance.task}, seed {instance.seed}: its overlay can't be laid: {error}"
        ) from None


def make_spec(
    name: str, limits: SandboxLimits, office: Office | None, instance: TaskInstance | None = None
) -> SandboxSpec:
    """A sandbox with what `instance` wants, and the office's addresses and commands where `office` is given."""
    mounts, path = (instance.mounts, instance.path) if instance else ((), ())
    image = instance.image if instance else None
    if office is None:
        return SandboxSpec(name=name, limits=limits, read_only_mounts=mounts, path=path, image=image)
    return SandboxSpec(
        name=name,
        limits=limits,
        read_only_mounts=(Mount(str(office.commands), COMMANDS), *mounts),
        path=(f"{COMMANDS}/bin", *path),
        ports=tuple(PORTS.values()),
        image=image,
    )


async def connect(lease: Lease | None, sandbox: Sandbox) -> None:
    """Let the sandbox's commands reach the company."""
    if lease is not None:
        theirs = PORTS.values()  # The others are an agent's.
        await lease.serve({port: socket for port, socket in sandbox.listeners.items() if port in theirs})


class Room:
    """A sandbox for one trusted attempt after another: emptied in between, with a fresh company each time."""

    def __init__(self, sandbox: Sandbox, office: Office | None) -> None:
        """`sandbox` was made with `make_spec(..., office)`; it stays the caller's to stop."""
        self.sandbox = sandbox
        self.lease: Lease | None = None
        self._office = office

    async def lay_out(self, instance: TaskInstance) -> None:
        """Empty the sandbox and lay out an instance in it, in a company of its own."""
        await self.sandbox.reset()
        await self.leave()
        self.lease = await lease_company(instance, self._office, f"{instance.task}-{instance.seed}")
        await connect(self.lease, self.sandbox)
        await lay_out(instance, self.sandbox)

    async def leave(self) -> None:
        """Give the company back."""
        lease, self.lease = self.lease, None
        if lease is not None:
            await lease.close()
