"""The agent-server's libraries: a folder for the Python of the sandbox images, mounted read-only into sandboxes.

A folder and no image, because tasks bring images of their own: one copy serves them all, nothing is built again
where a task changes, and no build needs a network. The compiled modules have to fit the image's Python, so they are
made in a container of the default image.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from platform import machine
from typing import Any

from tac_rl.agents.openhands.environment import REQUIREMENTS as SDK
from tac_rl.agents.openhands.environment import default_folder as sdk_folder
from tac_rl.agents.openhands.environment import find_python, run_install
from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import ConfigError, SandboxError
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.images import Images

TARGET = "/opt/openhands"
"""In sandboxes."""
PYTHON = "3.13"
"""Debian trixie's, which the sandbox images stand on."""
REQUIREMENTS = (*SDK, "openhands-agent-server>=1.58,<1.59")
"""The worker's minor version."""
_UV = "uv>=0.9,<1"
"""Installs for another Python than its own, which pip can do only without source packages (func-timeout is one), and
finds versions that fit each other in seconds. Used here alone, from a temporary folder."""
_LIBC = "manylinux_2_40"
"""trixie has glibc 2.41."""
_INSTALL_SECONDS = 3600
_STAMP = "tac-rl-requirements"


def default_folder() -> Path:
    """`.openhands-container`, beside `.venv-openhands`."""
    return sdk_folder().parent / ".openhands-container"


def find(configured: Path | None) -> Path:
    """The folder; `ConfigError` with the fix where there is none."""
    folder = configured or default_folder()
    if not (folder / _STAMP).is_file():
        raise ConfigError(
            f"agent.openhands.libraries: {folder} does not hold the agent-server's libraries: make them with "
            "./setup.sh --openhands --docker, or set agent.openhands.placement: worker"
        )
    return folder


def make(folder: Path, say: Callable[[str], None]) -> None:
    """Make the folder where it is missing or holds other versions; `ConfigError` where that can't be done."""
    stamp = folder / _STAMP
    wanted = "\n".join((PYTHON, *REQUIREMENTS))
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    if folder.is_dir() and any(folder.iterdir()) and not stamp.is_file():
        raise ConfigError(f"{folder}: holds something else; name a new folder")
    say(f"installing OpenHands' agent-server for containers in {folder} (half a gigabyte)")
    python = str(find_python(None))
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tempfile.TemporaryDirectory() as tools:
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run_install([*pip, "--target", tools, _UV], "install uv")
        uv = [f"{tools}/bin/uv", "pip", "install", "--quiet", "--no-config", "--python", python]
        target = ["--target", str(fresh), "--python-version", PYTHON]
        platform = ["--python-platform", f"{machine()}-{_LIBC}"]
        run_install([*uv, *target, *platform, *REQUIREMENTS], "install the agent-server")
    say("compiling it in a container")
    compile_in_container(fresh)
    (fresh / _STAMP).write_text(wanted)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def compile_in_container(folder: Path) -> None:
    """Let the default image's Python compile all modules; `ConfigError` where it can't.

    As this user, so that the files are ours; the container has no network and sees nothing else.
    """
    daemon = Daemon(api_seconds=_INSTALL_SECONDS)
    try:
        section = DockerSection()
        images = Images(daemon, default=None, build_seconds=section.build_seconds)
        image = daemon.now(lambda api: images.ensure(api, None))
        # Not read again from the sources, which nobody can change; the mount is read-only.
        code = (
            "import compileall, sys; "
            f"assert sys.version_info[:2] == {tuple(map(int, PYTHON.split('.')))}, sys.version; "
            f"compileall.compile_dir({TARGET!r}, quiet=2, workers=0, "
            "invalidation_mode=__import__('py_compile').PycInvalidationMode.UNCHECKED_HASH)"
        )

        def compiled(api: Any) -> tuple[int, str]:
            made = api.create_container(
                image,
                ["-IS", "-c", code],
                entrypoint=["python3"],
                user=f"{os.getuid()}:{os.getgid()}",
                labels={"org.tac-rl.kind": "compile"},
                host_config=api.create_host_config(
                    binds=[f"{folder.resolve()}:{TARGET}:rw"],
                    network_mode="none",
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges:true"],
                ),
            )
            try:
                api.start(made["Id"])
                status = int(api.wait(made["Id"], timeout=_INSTALL_SECONDS)["StatusCode"])
                return status, api.logs(made["Id"]).decode("utf-8", "replace")
            finally:
                api.remove_container(made["Id"], v=True, force=True)

        status, said = daemon.now(compiled)
    except SandboxError as error:
        raise ConfigError(f"could not compile the agent-server: {error}") from error
    finally:
        daemon.close()
    if status != 0:
        raise ConfigError(f"could not compile the agent-server (exit status {status}): {said.strip()[-800:]}")


if __name__ == "__main__":
    try:
        make(default_folder(), lambda text: print(f"setup: {text}", flush=True))
    except ConfigError as error:
        sys.exit(f"setup: {error}")
