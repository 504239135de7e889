"""The company of an attempt: leased for its instance, reached by the commands of its sandboxes."""

from dataclasses import replace

from tac_rl.errors import OfficeError, OverlayError, TaskError
from tac_rl.office.base import PORTS
from tac_rl.office.overlay import Overlay
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Mount, Sandbox, SandboxLimits, SandboxSpec
from tac_rl.tasks.base import Company, TaskInstance

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


def spec_for(
    instance: TaskInstance, office: Office | None, name: str, limits: SandboxLimits | None = None
) -> SandboxSpec:
    """The sandbox in which the instance is worked on (or graded): with the office's addresses where it needs them."""
    limits = limits or SandboxLimits()
    if instance.company is None or office is None:
        return SandboxSpec(name=name, limits=limits)
    return SandboxSpec(
        name=name,
        limits=limits,
        read_only_mounts=(Mount(str(office.commands), COMMANDS),),
        path=(f"{COMMANDS}/bin",),
        ports=tuple(PORTS.values()),
    )


async def connect(lease: Lease | None, sandbox: Sandbox) -> None:
    """Let the sandbox's commands reach the company."""
    if lease is not None:
        await lease.serve(sandbox.listeners)
