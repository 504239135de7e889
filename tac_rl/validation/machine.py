"""The machine around the GPU: Python, memory, disk, isolation, Docker, ports."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tac_rl.validation.lines import Line, Verdict

SECONDS = 20
OLDEST = (3, 11)
NEWEST_TRIED = (3, 13)
MARGIN_BYTES = 10 << 30
"""Of disk beside the model: the environment, vLLM's compiled kernels, runs."""


def python_line(version: tuple[int, int, int]) -> Line:
    text = "Python " + ".".join(map(str, version))
    if version[:2] < OLDEST:
        return Line("Python", Verdict.FAIL, text, "install 3.11 or newer, then ./setup.sh (PYTHON=/path/to/python)")
    if version[:2] > NEWEST_TRIED:
        fix = "if a library is missing for it: PYTHON=python3.12 ./setup.sh"
        return Line("Python", Verdict.NOTE, f"{text}: newer than what was tried (3.11 to 3.13)", fix)
    return Line("Python", Verdict.OK, text)


def other_python_line(version: tuple[int, int, int], wanted: bool) -> Line | None:
    """OpenHands has an environment of its own, which wants 3.12."""
    if version[:2] >= (3, 12) or any(shutil.which(f"python3.{minor}") for minor in (12, 13, 14)):
        return None
    return Line(
        "Python for OpenHands",
        Verdict.FAIL if wanted else Verdict.NOTE,
        "no 3.12 or newer: agent openhands is not available",
        "install Python 3.12, then ./setup.sh --openhands" if wanted else "",
    )


def memory_line(total: int, needed: int) -> Line:
    """Bytes of the machine, and what the config takes of them."""
    text = f"{total / 2**30:.1f} GiB, the config takes about {needed / 2**30:.1f}"
    if total < needed:
        fix = "add memory or swap, take a smaller config, or lower rollouts.concurrency and engine.cache_slots"
        return Line("memory", Verdict.FAIL, text, fix)
    return Line("memory", Verdict.OK, text)


def disk_line(folder: Path, still_to_download: int, free: int | None = None) -> Line:
    free = shutil.disk_usage(folder).free if free is None else free
    needed = still_to_download + MARGIN_BYTES
    text = f"{free / 2**30:.0f} GiB free, about {needed / 2**30:.0f} wanted"
    if free < still_to_download:
        return Line("disk", Verdict.FAIL, text, f"make room on the file system of {folder}")
    return Line("disk", Verdict.OK if free >= needed else Verdict.WARN, text, "" if free >= needed else "make room")


def isolation_line() -> Line:
    program = shutil.which("bwrap")
    if sys.platform != "linux":
        fix = "use sandbox.kind: docker, or a Linux machine or virtual machine"
        return Line("isolation", Verdict.FAIL, "bubblewrap is only for Linux", fix)
    if program is None:
        return Line("isolation", Verdict.FAIL, "bubblewrap is not installed", "./setup.sh, or: apt install bubblewrap")
    said = _ask([program, "--unshare-all", "--ro-bind", "/", "/", "true"])
    if said is None or said.returncode:
        fix = "sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0"
        return Line("isolation", Verdict.FAIL, "the kernel refuses bubblewrap its namespaces", fix)
    return Line("isolation", Verdict.OK, "bubblewrap works")


def docker_line(wanted: bool) -> Line:
    program = shutil.which("docker")
    bad = Verdict.FAIL if wanted else Verdict.NOTE
    tail = "" if wanted else "; not needed by this config"
    if program is None:
        return Line("Docker", bad, f"not installed{tail}", "install Docker" if wanted else "")
    said = _ask([program, "version", "--format", "{{.Server.Version}}"])
    if said is None or said.returncode or not said.stdout.strip():
        fix = "start dockerd, and be in the group docker" if wanted else ""
        return Line("Docker", bad, f"installed, but its daemon doesn't answer{tail}", fix)
    return Line("Docker", Verdict.OK, f"{said.stdout.strip()}, answers")


def ports_line(wanted: dict[str, int]) -> Line:
    """Ports that the config fixes, by their field; 0 is any free one."""
    taken = [f"{field} {port}" for field, port in wanted.items() if not _free(port)]
    if taken:
        return Line("ports", Verdict.FAIL, f"taken: {', '.join(taken)}", "end what listens there, or change the field")
    fixed = [f"{field} {port}" for field, port in wanted.items() if port]
    return Line("ports", Verdict.OK, ", ".join(fixed) or "any free ones on 127.0.0.1")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _ask(command: list[str]) -> "subprocess.CompletedProcess[str] | None":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
