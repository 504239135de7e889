"""Whether an image can be a sandbox: asked in a container of it, which also compiles the server for its Python."""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tac_rl.errors import SandboxError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.docker.daemon import Api

_INSIDE = Path(__file__).parents[1] / "inside"
_SECONDS = 60
_WRITABLE = ("/workspace", "/home/agent", "/tmp")
# Runs in the image: the standard library of Python 3.9 only. Answers with one line of JSON.
_CODE = """
import base64, importlib.util, json, marshal, os, sys
sources, folders = json.loads(sys.argv[1]), json.loads(sys.argv[2])
head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
compiled = {}
for name, source in sources.items():
    code = marshal.dumps(compile(source, name + ".py", "exec", dont_inherit=True))
    compiled[name] = base64.b64encode(head + importlib.util.source_hash(source.encode()) + code).decode()
there = [os.path.join(f, n) for f in folders if os.path.isdir(f) for n in os.listdir(f)]
answer = {"python": sys.executable, "version": sys.version_info[:2], "bash": os.access("/bin/bash", os.X_OK)}
answer["routes"] = len(open("/proc/net/route").readlines()) - 1
print(json.dumps({**answer, "there": there, "compiled": compiled}))
"""


@dataclass(frozen=True)
class Server:
    """How the server starts in containers of an image."""

    python: str
    """The interpreter inside."""
    folder: Path
    """The server's files, compiled for it."""


def probe(api: Api, image_id: str, name: str, owner: Mapping[str, str]) -> Server:
    """Compile the server for an image; `SandboxError` where the image can't be a sandbox.

    What was found is kept in the runtime folder, so each image is asked once until the machine's next start.
    `owner`: labels of the container that is asked.
    """
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(_INSIDE.glob("*.py"))}
    arguments = [json.dumps(sources), json.dumps(_WRITABLE)]
    version = hashlib.sha256("\0".join((image_id, _CODE, *arguments)).encode()).hexdigest()[:16]
    folder = runtime.runtime_base() / f"docker-server-{version}"
    answer = _read(folder)
    if answer is None:
        status, output = _run(api, image_id, ["-ISE", "-c", _CODE, *arguments], owner)
        try:
            answer = json.loads(output.splitlines()[-1])
        except (ValueError, IndexError):
            said = output.strip().rpartition("\n")[2] or f"exit status {status}"
            raise SandboxError(
                f"image {name}: Python 3.9 or newer must be there as python3 ({said})"
            ) from None
        if answer.pop("routes"):  # Not kept: another Docker may be asked next.
            raise SandboxError(
                f"image {name}: this Docker gives containers a network that are to have none; update Docker"
            )
        _write(folder, answer)
    if tuple(answer["version"]) < (3, 9):
        raise SandboxError(f"image {name}: its python3 is {answer['version']}; 3.9 or newer is needed")
    if not answer["bash"]:
        raise SandboxError(f"image {name}: /bin/bash is missing")
    if answer["there"]:
        raise SandboxError(
            f"image {name}: {answer['there'][0]} would be covered, because {', '.join(_WRITABLE)} are new and empty"
            " in every sandbox: a task's files belong into its package"
        )
    return Server(answer["python"], folder)


def _run(api: Api, image_id: str, arguments: list[str], owner: Mapping[str, str]) -> tuple[int, str]:
    config: dict[str, Any] = {
        "Image": image_id,
        "Entrypoint": ["python3", *arguments],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "NetworkDisabled": True,  # as sandboxes have it
        "Labels": dict(owner),
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "Memory": 256 << 20,
            "PidsLimit": 32,
            "LogConfig": {"Type": "json-file"},
        },
    }
    made = api.create_container_from_config(config)["Id"]
    try:
        try:
            api.start(made)
            status = int(api.wait(made, timeout=_SECONDS)["StatusCode"])
            return status, api.logs(made).decode("utf-8", "replace")
        except Exception as error:
            if "executable file not found" in str(error):
                return 127, "no python3 on its PATH"
            raise
    finally:
        api.remove_container(made, force=True, v=True)


def _read(folder: Path) -> dict[str, Any] | None:
    """What an earlier probe found; None where there was none."""
    try:
        found: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _write(folder: Path, answer: dict[str, Any]) -> None:
    """Complete or not at all; readable for everyone: the container's root may not pass by permissions."""
    # In a folder that is swept where this process is killed meanwhile.
    making = folder.parent / runtime.identity(os.getpid()) / f"server-{secrets.token_hex(4)}"
    inside = making / "inside"
    inside.mkdir(parents=True)
    for name, data in answer.pop("compiled").items():
        (inside / f"{name}.pyc").write_bytes(base64.b64decode(data))
        (inside / f"{name}.pyc").chmod(0o644)
    (making / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    for part in (inside, making):
        part.chmod(0o755)
    try:
        making.rename(folder)
    except OSError:  # Another process was faster.
        shutil.rmtree(making)
    with contextlib.suppress(OSError):  # Sandboxes of this process still use it.
        making.parent.rmdir()
