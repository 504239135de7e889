"""Lay an instance out in a sandbox, before the agent comes."""

from tac_rl.errors import TaskError
from tac_rl.sandboxes.base import Sandbox
from tac_rl.tasks.base import TaskInstance


async def lay_out(instance: TaskInstance, sandbox: Sandbox) -> None:
    """Write the instance's files into the workspace and run its setup commands there.

    `TaskError` names the setup command that failed: the package is wrong, not the attempt.
    """
    if instance.files:
        await sandbox.put(instance.files, executable=instance.executable)
    for command in instance.setup:
        # A subshell: neither variables nor the working directory reach the agent's shell.
        result = await sandbox.exec(f"(set -e; {command}\n)")
        if result.exit_code != 0:
            how = "ran out of time" if result.timed_out else f"exited with {result.exit_code}"
            raise TaskError(
                f"task {instance.task}, seed {instance.seed}: the setup command {command!r} {how}; "
                f"it printed {result.output[-400:]!r}. Fix `setup` in its instance.py"
            )
