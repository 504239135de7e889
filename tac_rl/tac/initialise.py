"""What TAC's init.sh does, before an agent comes, by our means.

    TAC                                     here
    name the server in /etc/hosts           sandboxes have the name
    reset the declared services             the attempt's company is fresh
    pre_init.sh, pre_init.py                run in a sandbox of their own
    start the colleagues of scenarios.json  they sit in the company from the start
    populate_data.py                        as above
    post_init.sh, post_init.py              as above

With an image of the package's own, what it has in its workspace is laid out first.

The scripts' sandbox has TAC's layout and the company at TAC's addresses. What they leave in their workspace
is laid out in the agent's, whose sandbox never holds `/utils`.
"""

from tac_rl.errors import TaskError
from tac_rl.office.process import Lease
from tac_rl.sandboxes.base import WORKSPACE, Sandbox, SandboxProvider
from tac_rl.tac.folder import TacFolder
from tac_rl.tac.image import INSTRUCTION, UNPACK, UTILS, PackageImage
from tac_rl.tac.rooms import Tools, room
from tac_rl.tasks.base import TaskInstance
from tac_rl.tasks.layout import lay_out

_ARCHIVE = "/tmp/.workspace.tar"
_MOST_BYTES = 512 << 20


async def initialise(
    package: TacFolder,
    tools: Tools,
    instance: TaskInstance,
    sandbox: Sandbox,
    provider: SandboxProvider,
    lease: Lease | None,
    image: PackageImage | None = None,
) -> None:
    """Make the company and the agent's sandbox ready; `TaskError` names the script that failed."""
    await lay_out(instance, sandbox)
    if not package.hooks:
        if image:
            await _unpack(instance, sandbox)
        return
    workspace = await _run_hooks(package, tools, instance, provider, lease, image)
    await sandbox.put({_ARCHIVE: workspace})
    result = await sandbox.exec(
        f"tar -xf {_ARCHIVE} -C {WORKSPACE} --no-same-owner --no-same-permissions && rm {_ARCHIVE}"
    )
    if result.exit_code != 0:
        raise TaskError(
            f"task {instance.task}: what its scripts laid out doesn't fit into the agent's sandbox "
            f"(sandbox.disk_mb): {result.output[-400:]!r}"
        )


async def _unpack(instance: TaskInstance, sandbox: Sandbox) -> None:
    result = await sandbox.exec(UNPACK)
    if result.exit_code != 0:
        raise TaskError(
            f"task {instance.task}: what its image has in its workspace doesn't fit into the sandbox "
            f"(sandbox.disk_mb): {result.output[-400:]!r}"
        )


async def _run_hooks(
    package: TacFolder,
    tools: Tools,
    instance: TaskInstance,
    provider: SandboxProvider,
    lease: Lease | None,
    image: PackageImage | None,
) -> bytes:
    """Run them all; the workspace that they leave, as a tar file."""
    files = {
        path: source
        for path, source in package.places(UTILS, INSTRUCTION).items()
        if not path.name.startswith("evaluator.py")
    }
    async with room("init", files, tools, provider, lease, image) as scripts:
        await lay_out(instance, scripts)
        if image:
            await _unpack(instance, scripts)
        for hook in package.hooks:
            program = "bash" if hook.suffix == ".sh" else "python"
            result = await scripts.exec(f"(cd {WORKSPACE} && {program} {hook})")
            if result.exit_code != 0:
                how = "ran out of time" if result.timed_out else f"exited with {result.exit_code}"
                raise TaskError(
                    f"task {instance.task}: {hook.name} {how}, so its company could not be made; it printed "
                    f"{result.output[-400:]!r}"
                )
        await scripts.freeze()
        return await scripts.export(max_bytes=_MOST_BYTES)
