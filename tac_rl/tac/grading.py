"""Grade with a package's own evaluator, in a sandbox that the agent never sees.

Whatever keeps the evaluator from its end (an exception at import or in grading, no result, time, a service
or the judge that is down) is a `GradingError`, never a 0.
"""

import json
import secrets
from pathlib import Path

from tac_rl.office.base import PORTS, ServiceName
from tac_rl.office.process import Lease
from tac_rl.sandboxes.base import WORKSPACE, SandboxProvider
from tac_rl.tac.environment import TARGET
from tac_rl.tac.folder import TacFolder
from tac_rl.tac.image import IMAGE_PYTHON, INSTRUCTION, UTILS, PackageImage
from tac_rl.tac.rooms import Tools, room
from tac_rl.tasks.base import Grade, TaskInstance
from tac_rl.tasks.grading import parse_result

_HERE = "/tmp/tac"
_KIT = ("grade.py", "eval.py")
# `tar` refuses names that lead outside, makes such links last, and writes through none. Nothing that the
# agent left is imported: the folder of the door and /utils are the only places of modules besides libraries.
_COMMAND = (
    f"tar -xf {_HERE}/workspace.tar -C {WORKSPACE} --no-same-owner --no-same-permissions; "
    f"cd {WORKSPACE} && {{python}} -s -P {_HERE}/grade.py"
)


async def grade(
    package: TacFolder,
    tools: Tools,
    instance: TaskInstance,
    workspace_tar: bytes,
    trajectory: str,
    provider: SandboxProvider,
    lease: Lease | None,
    image: PackageImage | None = None,
) -> Grade:
    """Grade the workspace in `workspace_tar` and the company of `lease`, in the package's image where it has one.

    Raises `GradingError` as the module says, `SandboxError` or `OfficeError` where those fail.
    """
    nonce = secrets.token_hex(16)
    job = {
        "nonce": nonce,
        "trajectory": trajectory,
        "workspace": WORKSPACE,
        "services": {name: PORTS[ServiceName(name)] for name in package.services} if lease else {},
    }
    files = {name: (Path(__file__).parent / "kit" / name).read_bytes() for name in _KIT}
    files |= {"job.json": json.dumps(job).encode(), "workspace.tar": workspace_tar}
    seen = package.places(UTILS, INSTRUCTION)
    room_mb = 2 * (len(workspace_tar) + len(trajectory) >> 20)
    async with room("grading", seen, tools, provider, lease, image, room_mb=room_mb) as sandbox:
        await sandbox.put({f"{_HERE}/{name}": data for name, data in files.items()})
        python = IMAGE_PYTHON if image else f"{TARGET}/bin/python"
        result = await sandbox.exec(_COMMAND.format(python=python))
    return parse_result(result, nonce, f"task {instance.task}")
