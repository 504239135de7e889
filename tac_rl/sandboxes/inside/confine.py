# Plain os functions here: pathlib would slow every start.
# ruff: noqa: PTH102
"""Everything that has to be in place before the first command runs. Linux system calls through ctypes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager

# `typing` and `socket` would slow every start by several milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORKSPACE = "/workspace"
WRITABLE = (WORKSPACE, "/home/agent", "/tmp", "/dev/shm")
CONTROL = "/run/control"
OPEN_FILES = 512
_LIBC = ctypes.CDLL(None, use_errno=True)

# From Linux's headers.
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 22, 38, 47
_SECCOMP_MODE_FILTER, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MNT_DETACH = 2, 4, 4096, 2
_CAP_VERSION_3 = 0x20080522
_CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SYS_PTRACE = 5, 6, 7, 19
_CLONE_NEWUSER = 0x10000000

_DENIED = {
    # Machine: its audit number, its number of `clone`, and the denied calls. Those are kernel objects that
    # outlive a process or escape the counting of memory (memfd_create, memfd_secret, shmget, msgget,
    # add_key, request_key, keyctl), large attack surfaces that office work never needs (bpf,
    # perf_event_open, userfaultfd, io_uring_setup), and ways to new namespaces (unshare, setns).
    "x86_64": (0xC000003E, 56, (319, 447, 29, 68, 248, 249, 250, 321, 298, 323, 425, 272, 308)),
    "aarch64": (0xC00000B7, 220, (279, 447, 194, 186, 217, 218, 219, 280, 241, 282, 425, 97, 268)),
}
_CLONE3 = 435  # Its flags lie in memory that a filter can't read; libc falls back to `clone`.


def confine(settings: dict[str, Any]) -> None:
    """Make this process unreadable, lay out the disk, and give up every right that it does not need."""
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)  # Not traceable; /proc/1/{mem,environ,fd} closed.
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if settings["mount_disk"]:
        _mount_disk(settings["disk_bytes"], settings["uid"])
    keep = 0
    if settings["uid"] is not None:
        keep = sum(1 << number for number in (_CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SYS_PTRACE))
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    head = ctypes.create_string_buffer(struct.pack("Ii", _CAP_VERSION_3, 0), 8)
    sets = ctypes.create_string_buffer(struct.pack("6I", keep, keep, 0, 0, 0, 0), 24)
    _call("capset", ctypes.addressof(head), ctypes.addressof(sets))
    _deny_system_calls()


def limit_this_process(settings: dict[str, Any]) -> None:
    """What the kernel enforces for the commands; run in the shell's process before bash."""
    uid = settings["uid"]
    own = 1 if uid is None else 0  # The server counts where it is the same user.
    # Where other sandboxes have the same user, a control group counts instead.
    processes = settings["processes"] + own if settings["count_by_user"] else resource.RLIM_INFINITY
    for what, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_FSIZE, 2 * settings["disk_bytes"]),  # Sparse files; the disk itself is the tmpfs.
        (resource.RLIMIT_DATA, 2 * settings["memory_bytes"]),  # Slows a burst; the watch is the limit.
    ):
        hard = resource.getrlimit(what)[1]
        limit = min((value for value in (limit, hard) if value != resource.RLIM_INFINITY), default=hard)
        resource.setrlimit(what, (limit, limit))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o022)


@contextmanager
def as_user(uid: int | None) -> Iterator[None]:
    """Work on files with no more rights than the commands have."""
    if uid is None:
        yield
        return
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _call(name: str, *arguments: int | str) -> None:
    """Call the C library; OSError where it returns -1."""
    values = [os.fsencode(value) if isinstance(value, str) else ctypes.c_ulong(value) for value in arguments]
    if getattr(_LIBC, name)(*values) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount_disk(disk_bytes: int, uid: int | None) -> None:
    """One size-limited tmpfs under all writable folders; the socket's folder goes out of sight."""
    owner = os.getuid() if uid is None else uid
    _call("umount2", CONTROL, _MNT_DETACH)
    options = f"size={disk_bytes},nr_inodes={disk_bytes >> 12},mode=755"
    _call("mount", "tmpfs", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    for number, folder in enumerate(WRITABLE):
        source = f"/run/{number}"
        os.mkdir(source)
        os.chown(source, owner, owner)
        _call("mount", source, folder, "none", _MS_BIND, 0)
    _call("umount2", "/run", _MNT_DETACH)


def _deny_system_calls() -> None:
    """A seccomp filter for this process and all its children; a foreign architecture's calls fail too.

    The instructions are classic BPF over `struct seccomp_data` (number at 0, architecture at 4, first
    argument at 16): (operation, jump if true, jump if false, value).
    """
    if os.uname().machine not in _DENIED:
        return
    architecture, clone, denied = _DENIED[os.uname().machine]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, not_permitted, not_implemented = 0x7FFF0000, 0x50001, 0x50026
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, not_permitted), (load, 0, 0, 0)]
    program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, not_permitted)]  # x86's x32 numbers.
    for number in denied:
        program += [(equal, 0, 1, number), (give, 0, 0, not_permitted)]
    program += [(equal, 0, 1, _CLONE3), (give, 0, 0, not_implemented)]
    program += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 0, 1, _CLONE_NEWUSER)]
    program += [(give, 0, 0, not_permitted), (give, 0, 0, allow)]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    pointer = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    argument = ctypes.create_string_buffer(pointer, len(pointer))
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(argument), 0, 0)
