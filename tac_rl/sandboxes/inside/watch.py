# Plain os functions here: pathlib would slow every start.
# ruff: noqa: PTH123, PTH208
"""Counts what the commands' processes use together: no rlimit covers a sum."""

from __future__ import annotations

import os
import resource

_PAGE = resource.getpagesize()


def count_processes() -> tuple[list[str], int, int]:
    """All processes but this one: their ids, their threads, and an upper bound of their memory (bytes)."""
    threads, resident = 0, 0
    pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # It has ended.
        threads += int(fields[17])
        resident += int(fields[21]) * _PAGE
    return pids, threads, resident


def proportional_memory(pids: list[str]) -> int:
    """Bytes in memory of these processes, where a page that n processes share counts 1/n for each."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) << 10
        except StopIteration:
            continue
        except PermissionError:  # It has made itself unreadable: the upper bound counts.
            total += _resident(pid)
        except OSError:
            continue
    return total


def count_sockets() -> int:
    """Sockets open in the sandbox: the memory that they hold belongs to no process."""
    with open("/proc/net/sockstat", "rb") as file:
        return int(file.readline().split()[2])


def _resident(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0
