"""For faults.py: finds the processes and containers of a training session, kills them, sees what is left."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.docker.labels import OWNER

SHARED_MEMORY = Path("/dev/shm")
_MARKS = {"worker": b"openhands/worker/start.py", "office": b"tac_rl.office.server", "sandbox": b"bwrap"}
_OURS = re.compile(r"tac-rl-(.+)-[0-9a-f]{8}")
_CACHES = re.compile(r"torchinductor_|tac-rl-\d+/(images\.lock$|docker-server-[0-9a-f]{16}(/|$))")
"""Compiled code: of torch's, and of the server in containers, a folder for each image."""
_LOOK_S = 1.0


class Session:
    """One trainer from its start to its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.identity = runtime.identity(pid)

    def descendants(self) -> list[int]:
        """Living processes below the trainer."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        found, ahead = [], [self.pid]
        while ahead:
            below = children.get(ahead.pop(), [])
            found += below
            ahead += below
        return found

    def kill_trainer(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def kill(
        self, kind: str, pick: float, *, docker: bool, traces: "Traces", targets: Collection[str] | None
    ) -> str | None:
        """Kill one of `kind` with SIGKILL and say which it was; None where there is none.

        `targets`: of Docker's containers only those of these rollouts.
        """
        if kind == "trainer":
            self.kill_trainer()
            return str(self.pid)
        if kind == "sandbox" and docker:
            return traces.kill_container(self.identity, pick, targets)
        found = sorted(pid for pid in self.descendants() if _MARKS[kind] in _command(pid))
        if not found:
            return None
        pid = found[int(pick * len(found))]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return str(pid)
        return None


class Traces:
    """Everything that was ever seen of any session, to be looked for at the end."""

    def __init__(self, temporary: Path, *, docker: bool) -> None:
        """`temporary`: the TMPDIR of all sessions, which nothing else uses."""
        self._temporary = temporary
        self._docker: Any = _client() if docker else None
        self._sessions: dict[str, Session] = {}
        self._processes: dict[str, str] = {}
        """Command line by identity; processes in containers too."""
        self._shared: dict[str, str] = {}
        """File in shared memory, and the session that had it."""
        self._asked: set[str] = set()
        """Containers whose first process is known."""
        self._next = 0.0

    def close(self) -> None:
        if self._docker is not None:
            self._docker.close()

    def look(self, session: Session) -> None:
        """Note what there is of `session`, once a second."""
        self._sessions[session.identity] = session
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_S
        pids = session.descendants()
        for entry in self._containers(session.identity):
            if entry["Id"] not in self._asked:
                with contextlib.suppress(NotFound, APIError):
                    pids.append(self._docker.inspect_container(entry["Id"])["State"]["Pid"])
                    if pids[-1]:
                        self._asked.add(entry["Id"])
        for pid in pids:
            if pid > 0 and runtime.start_time(pid) is not None:
                self._processes.setdefault(
                    runtime.identity(pid), _command(pid)[:120].replace(b"\0", b" ").decode(errors="replace")
                )
            with contextlib.suppress(OSError), Path(f"/proc/{pid}/maps").open("rb") as maps:
                for line in maps:
                    if b"/dev/shm/" in line:
                        name = line.partition(b"/dev/shm/")[2].strip().decode(errors="replace")
                        self._shared[name.partition(" ")[0]] = session.identity

    def kill_container(self, owner: str, pick: float, targets: Collection[str] | None) -> str | None:
        """Kill a container of a trainer's, mostly one that is used: by Docker, or its PID 1 on the host."""
        running = [entry for entry in self._containers(owner) if entry["State"] == "running"]
        names = {entry["Names"][0].lstrip("/"): entry["Id"] for entry in running}
        used = sorted(name for name in names if not name.startswith("tac-rl-ready-"))
        choice = used if used and pick < 0.8 else sorted(names)
        if targets is not None:
            choice = [name for name in used if (match := _OURS.fullmatch(name)) and match[1] in targets]
        if not choice:
            return None
        name = choice[int(pick * 997) % len(choice)]
        try:
            if int(pick * 9973) % 2:
                self._docker.kill(names[name])
            else:
                os.kill(self._docker.inspect_container(names[name])["State"]["Pid"], signal.SIGKILL)
        except (NotFound, APIError, ProcessLookupError):
            return None  # It ended just now.
        match = _OURS.fullmatch(name)
        return match[1] if match else name

    def left(self, *, but: Session | None = None) -> list[str]:
        """What is left of all sessions, `but` one, a line each."""
        dead = [identity for identity in self._sessions if but is None or identity != but.identity]
        found = []
        current = set(but.descendants()) if but else set()
        for identity, command in self._processes.items():
            pid = int(identity.partition("-")[0])
            if pid not in current and runtime.is_alive(identity) and not self._is_of(pid, but):
                found.append(f"process {pid}: {command}")
        for identity in dead:
            found += [f"container {entry['Names'][0]}" for entry in self._containers(identity)]
            if self._docker is not None:
                volumes = self._docker.volumes(filters={"label": f"{OWNER}={identity}"}).get("Volumes") or ()
                found += [f"volume {entry['Name']}" for entry in volumes]
            for base in (self._temporary, SHARED_MEMORY):
                found += [f"folder {path}" for path in base.glob(f"tac-rl-*/{identity}*")]
        found += [
            f"shared memory {name}"
            for name, identity in self._shared.items()
            if identity in dead and not name.startswith("tac-rl-") and (SHARED_MEMORY / name).exists()
        ]
        if but is None:
            found += [f"file {path}" for path in self._files()]
            found += [f"socket {line}" for line in self._sockets()]
        return found

    def _is_of(self, pid: int, session: Session | None) -> bool:
        """Whether a process is in a container of a living session."""
        if session is None or self._docker is None:
            return False
        ids = [entry["Id"].encode() for entry in self._containers(session.identity)]
        with contextlib.suppress(OSError):
            group = Path(f"/proc/{pid}/cgroup").read_bytes()
            return any(one in group for one in ids)
        return True  # It has ended.

    def _files(self) -> list[Path]:
        """What lies in the temporary folder and is no cache that serves later runs."""
        return [
            path
            for path in self._temporary.rglob("*")
            if not (path.is_dir() and path.parent == self._temporary)
            and not _CACHES.match(str(path.relative_to(self._temporary)))
        ]

    def _sockets(self) -> list[str]:
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
        return [line.split()[-1] for line in lines if f"{self._temporary}/" in line]

    def _containers(self, owner: str) -> list[dict[str, Any]]:
        if self._docker is None:
            return []
        found: list[dict[str, Any]] = self._docker.containers(all=True, filters={"label": f"{OWNER}={owner}"})
        return found


def _client() -> Any:
    return docker.APIClient(version="auto", timeout=120)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
