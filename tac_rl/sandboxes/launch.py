"""bubblewrap as a process: start it, give its user namespace two users, wait for its server, end it."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tac_rl.errors import SandboxError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.client import Connection
from tac_rl.sandboxes.handshake import adopt, readable
from tac_rl.sandboxes.settings import AGENT_ID

_HOST_IDS = range(61184, 65520)
"""Where we are root: host users for the commands; systemd keeps this range for users made on the fly."""
_END_SECONDS = 10.0


@dataclass
class Process:
    """bubblewrap's own process, and a handle on the sandbox's PID 1."""

    popen: subprocess.Popen[bytes]
    init_pidfd: int = -1

    async def kill(self) -> None:
        """Kill PID 1, and with it everything inside; bubblewrap ends when the kernel is done with that."""
        if self.popen.returncode is not None:
            return
        if self.init_pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.init_pidfd, signal.SIGKILL)
        else:
            self.popen.kill()
        pidfd = os.pidfd_open(self.popen.pid)
        try:
            await asyncio.wait_for(readable(pidfd), _END_SECONDS)
        except TimeoutError:
            self.popen.kill()
        finally:
            os.close(pidfd)
        self.popen.wait(_END_SECONDS)
        if self.init_pidfd >= 0:
            os.close(self.init_pidfd)
            self.init_pidfd = -1


async def launch(arguments: list[str], folder: Path) -> Process:
    """Start `bwrap` with these arguments; its messages and its server's go to `folder`/log.

    As root the user namespace maps two users: 0, which the server keeps and which is nobody special on
    the host once its capabilities are gone, and `AGENT_ID`, a host user of its own, for the commands.
    """
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()
    open_here = {info_read, info_write, block_read, block_write}
    try:
        two_users = os.getuid() == 0
        options = ["--info-fd", str(info_write)]
        options += ["--userns-block-fd", str(block_read)] if two_users else []
        process = Process(_spawn(["bwrap", *options, *arguments], folder / "log", (info_write, block_read)))
        for fd in (info_write, block_read):
            os.close(fd)
            open_here.discard(fd)
        try:
            init_pid = json.loads(await _read_object(info_read))["child-pid"]
            process.init_pidfd = os.pidfd_open(init_pid)
            names = f"{runtime.identity(process.popen.pid)}\n{runtime.identity(init_pid)}\n"
            (folder / "processes").write_text(names)
            if two_users:
                host_id = secrets.choice(_HOST_IDS)
                for name in ("uid_map", "gid_map"):
                    Path(f"/proc/{init_pid}/{name}").write_text(f"0 0 1\n{AGENT_ID} {host_id} 1\n")
                os.write(block_write, b"1")
        except BaseException:
            await process.kill()
            raise
    finally:
        for fd in open_here:
            os.close(fd)
    return process


async def accept(
    listener: socket.socket, process: Process, ports: tuple[int, ...]
) -> tuple[Connection, dict[int, socket.socket]]:
    """The server's connection and its listeners; `SandboxError` where bubblewrap ends before there is one."""
    pidfd = os.pidfd_open(process.popen.pid)
    loop = asyncio.get_running_loop()
    accepting = asyncio.ensure_future(loop.sock_accept(listener))
    ending = asyncio.ensure_future(readable(pidfd))
    try:
        await asyncio.wait((accepting, ending), return_when=asyncio.FIRST_COMPLETED)
        if not accepting.done():
            raise SandboxError("it ended before its server was ready")
        stream, _ = accepting.result()
    finally:
        for task in (accepting, ending):
            task.cancel()
        await asyncio.gather(accepting, ending, return_exceptions=True)
        os.close(pidfd)
    return await adopt(stream, ports)


def last_line(log: Path) -> str:
    """The end of what bubblewrap or the server had to say, to follow an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f" ({lines[-1][:500]})" if lines else ""


def _spawn(command: list[str], log: Path, fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=fds,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )


async def _read_object(fd: int) -> bytes:
    """The one JSON object that bubblewrap writes about a sandbox."""
    os.set_blocking(fd, False)
    data = b""
    while not data.rstrip().endswith(b"}"):
        await readable(fd)
        part = os.read(fd, 4096)
        if not part:
            raise SandboxError("bubblewrap ended")
        data += part
    return data
