# Plain os functions here: pathlib would slow every start.
# ruff: noqa: PTH112
"""One persistent bash, and what a command may do to it: exit, exec, hang, flood, be killed.

The command's text reaches bash as a script on its standard input; all output goes to one pipe; the end of
a command is reported over a third pipe that the command's own processes do not have. So nothing that a
command prints is mistaken for its end, and no background process that keeps the output open delays it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from .confine import WORKSPACE, as_user, limit_this_process
from .watch import count_processes, count_sockets, proportional_memory

# `typing` and `socket` would slow every start by several milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BASH = ("/bin/bash", "--norc", "--noprofile")
# The kernel, out of memory, is to take a command before the server. bash writes it, because what is not
# traceable, as this process and its children until `execve`, may not write there.
_FIRST_LINE = b"{ \\builtin echo 500 >/proc/$$/oom_score_adj; } 2>/dev/null\n"
_STATUS_FD = 200
_TICK_SECONDS = 0.05
_SOCKETS = 256
_CHUNK = 1 << 16


class Clip:
    """Keeps the first and the last half of `limit` bytes of a stream, and counts the rest."""

    def __init__(self, limit: int) -> None:
        self.first, self.last = limit - limit // 2, limit // 2
        self.head, self.tail, self.total = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.first - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > self.last + 4 * _CHUNK:
            del self.tail[: len(self.tail) - self.last]

    @property
    def truncated(self) -> bool:
        return self.total > self.first + self.last

    def content(self) -> bytes:
        if not self.truncated:
            return bytes(self.head + self.tail)
        notice = f"\n[... {self.total - self.first - self.last} bytes left out ...]\n"
        return bytes(self.head) + notice.encode() + bytes(self.tail[len(self.tail) - self.last :])


class Shell:
    """Runs commands one by one, renews bash when it is gone, and keeps everything within the limits."""

    def __init__(self, settings: dict[str, Any], interrupt_fd: int) -> None:
        """`interrupt_fd`: readable when the host wants something else than the running command."""
        self.settings = settings
        self.busy = False  # Whether anything but bash itself may be running.
        self.wake_fd, wake_write_fd = os.pipe()
        with as_user(settings["uid"]):  # So that `echo x > /dev/stderr` may reopen the pipe.
            self._output_fd, self._output_write_fd = os.pipe()
        for fd in (self.wake_fd, wake_write_fd, self._output_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._interrupt_fd = interrupt_fd
        self._poll = select.poll()
        for fd in (interrupt_fd, self.wake_fd, self._output_fd):
            self._poll.register(fd, select.POLLIN)
        self._pid: int | None = None
        self._script_fd = self._status_fd = -1
        self._unsent = memoryview(b"")
        self._cwd = WORKSPACE
        self._last_status = 0
        self._notes: list[str] = []
        self._start()

    # One command

    def execute(self, command: bytes, seconds: float, output_bytes: int) -> tuple[dict[str, Any], bytes]:
        """Run one command; the answer's fields are those of `ExecResult`, then its output."""
        begun = now = time.monotonic()
        deadline, tick = begun + seconds, begun + _TICK_SECONDS
        if self._pid is None:
            self._renew()
        clip, reports = Clip(output_bytes), b""
        nonce = os.urandom(8).hex().encode()
        self._unsent = memoryview(self._script(command, nonce))
        self._send_script()
        exit_code, timed_out = None, False
        while exit_code is None and self._pid is not None:
            for fd, _ in self._poll.poll(max(0.0, min(deadline, tick) - now) * 1000):
                if fd == self._output_fd:
                    clip.add(_read(fd) or b"")
                elif fd == self._status_fd:
                    reports = (reports + self._read_status())[-_CHUNK:]
                    exit_code = self._reported(reports, nonce)
                elif fd == self._script_fd:
                    self._send_script()
                elif fd == self.wake_fd:
                    self.reap()
                elif fd == self._interrupt_fd:
                    self._end_everything("the command was interrupted")
            now = time.monotonic()
            if exit_code is not None or self._pid is None or now < min(deadline, tick):
                continue
            tick = now + _TICK_SECONDS
            if now >= deadline:
                timed_out = True
                self._end_everything(f"the time limit of {seconds:g} s was reached")
            else:
                self.enforce_limits()
        # What the command wrote is in the pipe by now. A background process may go on writing: bounded.
        for _ in range(16):
            data = _read(self._output_fd)
            if not data:
                break
            clip.add(data)
        if self._pid is None:
            self._renew()
        self._last_status = exit_code or 0
        self.busy = True
        answer = {"exit_code": exit_code, "truncated": clip.truncated, "timed_out": timed_out}
        output = self._with_notes(clip.content())
        return {**answer, "seconds": time.monotonic() - begun}, output

    def _script(self, command: bytes, nonce: bytes) -> bytes:
        """What bash reads: the command, then the report of its end.

        `(exit N) ||` gives the command the `$?` of the one before it. The report is on a line of its own,
        because some errors make bash drop the rest of the line.
        """
        quoted = b"'" + command.replace(b"\0", b"").replace(b"'", b"'\\''") + b"'"
        before = b"(exit %d) || " % self._last_status if self._last_status else b""
        run = b"%s\\builtin eval %s </dev/null %d>&-\n" % (before, quoted, _STATUS_FD)
        return run + b'\\builtin printf "%%s %%s %%s\\0" %s "$?" "$PWD" >&%d\n' % (nonce, _STATUS_FD)

    def _send_script(self) -> None:
        """Write as much of the script as the pipe takes; the rest when there is room."""
        if not self._unsent:  # Called for POLLERR: nobody reads any more, which poll would report for ever.
            self._poll.unregister(self._script_fd)
            return
        try:
            self._unsent = self._unsent[os.write(self._script_fd, self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent = self._unsent[:0]  # bash is gone or another program now: SIGCHLD or time tells.
        self._poll.register(self._script_fd, select.POLLOUT if self._unsent else 0)

    def _read_status(self) -> bytes:
        data = _read(self._status_fd)
        if data == b"":  # bash became another program (`exec`), which won't report.
            self._poll.unregister(self._status_fd)
        return data or b""

    def _reported(self, reports: bytes, nonce: bytes) -> int | None:
        """The exit status that bash reported for this command, or None."""
        for report in reports.split(b"\0")[:-1]:
            found, _, rest = report.partition(b" ")
            code, _, cwd = rest.partition(b" ")
            if found == nonce and code.isdigit():
                if cwd.startswith(b"/"):
                    self._cwd = os.fsdecode(cwd)
                return int(code) & 0xFF
        return None

    def _with_notes(self, output: bytes) -> bytes:
        if not self._notes:
            return output
        lines = "".join(f"[{note}]\n" for note in self._notes).encode("utf-8", "surrogateescape")
        self._notes.clear()
        return output + (b"" if not output or output.endswith(b"\n") else b"\n") + lines

    # Processes

    def restart(self, cwd: str) -> None:
        """A fresh shell that knows nothing of earlier commands; call `kill_everything` before."""
        while _read(self._output_fd):
            pass
        self._notes.clear()
        self._cwd = cwd
        self._start()

    def kill_everything(self) -> None:
        """Kill every process but this one (the kernel does it in one go) and wait until all are gone."""
        self._forget()
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        self.busy = False

    def reap(self) -> None:
        """Collect dead children; the commands' orphans become children of PID 1."""
        _read(self.wake_fd)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                how = f"exited with status {code}" if code >= 0 else f"was killed by signal {-code}"
                self._notes.append(f"the shell {how}")
                self._forget()

    def enforce_limits(self) -> None:
        """Kill everything where the processes together have reached a limit; the next output says so."""
        pids, threads, resident = count_processes()
        self.busy = len(pids) > 1
        memory = self.settings["memory_bytes"]
        if threads >= self.settings["processes"]:
            self._end_everything(f"the limit of {self.settings['processes']} processes was reached")
        elif resident > memory and proportional_memory(pids) > memory:
            self._end_everything(f"the limit of {memory >> 20} MB of memory was reached")
        elif count_sockets() > _SOCKETS:
            self._end_everything(f"the limit of {_SOCKETS} sockets was reached")

    def _end_everything(self, why: str) -> None:
        self.kill_everything()
        self._notes.append(f"{why}: every process was killed")

    def _renew(self) -> None:
        self._start()
        self._notes.append(f"a new shell starts in {self._cwd}, without the old one's variables")

    def _start(self) -> None:
        """A bash in the last known working directory."""
        if not os.path.isdir(self._cwd):
            self._cwd = WORKSPACE
        script_read_fd, self._script_fd = os.pipe()
        self._status_fd, status_write_fd = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._become_bash(script_read_fd, status_write_fd)
            except BaseException as error:
                os.write(self._output_write_fd, f"[the shell could not start: {error!r}]\n".encode())
            finally:
                os._exit(127)
        for fd in (script_read_fd, status_write_fd):
            os.close(fd)
        for fd, events in ((self._script_fd, 0), (self._status_fd, select.POLLIN)):
            os.set_blocking(fd, False)
            self._poll.register(fd, events)
        os.write(self._script_fd, _FIRST_LINE)

    def _become_bash(self, script_fd: int, status_fd: int) -> None:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        output = self._output_write_fd
        for source, target in ((script_fd, 0), (output, 1), (output, 2), (status_fd, _STATUS_FD)):
            os.dup2(source, target)
        limit_this_process(self.settings)
        try:
            os.chdir(self._cwd)
        except OSError:
            os.chdir(WORKSPACE)
        os.execve(_BASH[0], ["bash", *_BASH[1:]], self.settings["env"])

    def _forget(self) -> None:
        if self._pid is None:
            return
        self._pid = None
        self._last_status = 0
        for fd in (self._script_fd, self._status_fd):
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)
            os.close(fd)
        self._script_fd = self._status_fd = -1  # Events that were already collected must not find them.


def _read(fd: int) -> bytes | None:
    """What is there to read; b"" at the end, None where nothing is there yet."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None
