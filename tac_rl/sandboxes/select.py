"""Picks the sandbox provider that the config names, and proves that it works on this machine."""

from tac_rl.config.sandbox import SandboxSection
from tac_rl.sandboxes.base import SandboxLimits, SandboxProvider
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider


def make_provider(section: SandboxSection, *, run: str = "") -> SandboxProvider:
    """The provider of `section.kind`. `run`: for whom, where the kind can label what it makes."""
    if section.kind == "docker":
        from tac_rl.sandboxes.docker.provider import DockerProvider  # The SDK takes 0.2 s to import.

        return DockerProvider(
            section.docker, runtime_dir=section.runtime_dir, start_seconds=section.start_seconds, run=run
        )
    return BubblewrapProvider(runtime_dir=section.runtime_dir, start_seconds=section.start_seconds)


def make_limits(section: SandboxSection) -> SandboxLimits:
    """The limits that the config gives every rollout's sandbox."""
    return SandboxLimits(
        memory_mb=section.memory_mb,
        processes=section.processes,
        disk_mb=section.disk_mb,
        output_bytes=section.output_bytes,
        exec_seconds=section.exec_seconds,
    )
