"""What the sandboxes of one process share: a small /etc, the server file, and the choice of interpreter."""

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tac_rl.errors import SandboxUnavailableError
from tac_rl.sandboxes.settings import HOSTS, SERVER_SOCKET, SERVER_START

_INSIDE = Path(__file__).with_name("inside")
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n"
_NOBODY = "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_ETC = {
    "passwd": _PASSWD + _NOBODY,
    "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "hosts": HOSTS,
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "gitconfig": "[user]\n\tname = Office Agent\n\temail = agent@office.local\n"
    "[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n",
    "profile": "",
}
_ETC_COPIED = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "mime.types")
"""Of the host's /etc: what finding programs and libraries needs."""
_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_PRIVATE_PYTHON = "/opt/python"


@dataclass(frozen=True)
class SystemFiles:
    """Arguments for bubblewrap that lay out the read-only part of a sandbox, and how to start the server."""

    arguments: tuple[str, ...]
    server: tuple[str, ...]
    """The server's command line inside."""
    path: str
    """PATH inside."""


def prepare_system_files(folder: Path) -> SystemFiles:
    """Write the shared files into `folder` (made here); SandboxUnavailableError where bash is missing."""
    if not Path("/bin/bash").exists():
        raise SandboxUnavailableError("/bin/bash is missing: install bash, the sandboxes' shell")
    etc = folder / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    for name, text in _ETC.items():
        (etc / name).write_text(text)
    for name in _ETC_COPIED:
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, etc / name, symlinks=True, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copyfile(source, etc / name)
    (etc / "mtab").symlink_to("/proc/self/mounts")
    arguments: list[str] = []
    for system_folder in map(Path, _SYSTEM_FOLDERS):
        if system_folder.is_symlink():
            arguments += ["--symlink", str(system_folder.readlink()), str(system_folder)]
        elif system_folder.is_dir():
            arguments += ["--ro-bind", str(system_folder), str(system_folder)]
    for hidden in _hidden_folders():
        arguments += ["--tmpfs", hidden, "--remount-ro", hidden]
    arguments += ["--ro-bind", str(etc), "/etc"]
    python, path = "/usr/bin/python3", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    if not os.access(python, os.X_OK):
        python, path = f"{_PRIVATE_PYTHON}/bin/python3", f"{_PRIVATE_PYTHON}/bin:{path}"
        arguments += ["--ro-bind", sys.base_prefix, _PRIVATE_PYTHON]
    host_python = python if path.startswith("/usr") else f"{sys.base_prefix}/bin/python3"
    _compile_server(host_python, folder / "server" / "inside")
    arguments += ["--ro-bind", str(folder / "server"), "/run/server"]
    return SystemFiles(tuple(arguments), (python, "-ISE", "-c", SERVER_START, SERVER_SOCKET), path)


def _compile_server(python: str, target: Path) -> None:
    """Compile the server once, for the interpreter that runs it: each start is several ms shorter."""
    code = (
        "import sys, py_compile as p; [p.compile(a, b, a, True) for a, b in zip(*[iter(sys.argv[1:])] * 2)]"
    )
    target.mkdir(parents=True, exist_ok=True)
    pairs = [(str(source), str(target / f"{source.stem}.pyc")) for source in _INSIDE.glob("*.py")]
    try:
        subprocess.run(
            [python, "-ISE", "-c", code, *itertools.chain(*pairs)],
            check=True,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().rpartition("\n")[2]
        raise SandboxUnavailableError(
            f"{python} can't run the sandboxes' server ({said}): update it"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailableError(f"{python} can't run the sandboxes' server: {error}") from error


def _hidden_folders() -> list[str]:
    """Folders of this program that lie inside a system folder: covered, so that no checker shows."""
    package = Path(__file__).resolve().parents[1]
    candidates = {package, package.parent / "tasks", package.parent / "tests"}
    if sys.prefix != sys.base_prefix:
        candidates.add(Path(sys.prefix).resolve())
    if package.parent.name != "site-packages":
        candidates.add(package.parent)
    inside = [
        path for path in candidates if path.is_dir() and str(path).startswith(("/usr/", "/lib", "/bin"))
    ]
    return sorted(str(path) for path in inside)
