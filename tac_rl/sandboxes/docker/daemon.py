"""Docker's API from an event loop: a few threads, each with a client and a connection of its own that stays open.

The docker SDK's low-level client is used, because one call there is one request.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from tac_rl.errors import SandboxError, SandboxUnavailableError

THREADS = 8
OLDEST_API = "1.41"
"""Docker 20.10."""
_HELP = "start it (systemctl start docker, or dockerd), or set sandbox.kind: bubblewrap, which needs none"
T = TypeVar("T")
Api = Any
"""`docker.APIClient`; the SDK has no types."""


class Daemon:
    """The Docker daemon of this machine."""

    def __init__(self, *, api_seconds: float = 60.0) -> None:
        """Touches nothing yet. `api_seconds`: time the daemon may take for one answer."""
        self._seconds = api_seconds
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._clients: list[Api] = []
        self._version = ""

    def check(self) -> None:
        """Prove that a daemon answers that can isolate; `SandboxUnavailableError` says what to do."""
        where = kwargs_from_env().get("base_url") or "unix:///var/run/docker.sock"
        if not where.startswith(("unix://", "http+unix://")):
            raise SandboxUnavailableError(
                f"DOCKER_HOST is {where}: sandboxes are reached over Unix sockets, so the daemon must be on"
                " this machine; unset DOCKER_HOST"
            )
        info = self.now(lambda api: api.info())
        if info.get("OSType") != "linux":
            raise SandboxUnavailableError("Docker runs no Linux containers here")
        if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
            raise SandboxUnavailableError(
                "Docker runs here without seccomp: use a kernel and a daemon with it"
            )
        for name, what in (("MemoryLimit", "memory"), ("PidsLimit", "processes")):
            if not info.get(name):
                raise SandboxUnavailableError(
                    f"Docker can't limit {what} here: the kernel's control group for it is not mounted"
                )

    def now(self, work: Callable[[Api], T]) -> T:
        """What `work` makes of a client, in this thread; `SandboxError` where the daemon refuses or fails."""
        try:
            return work(self._client())
        except APIError as error:
            raise SandboxError(f"docker: {error.explanation or error}") from error
        except requests.exceptions.Timeout:
            raise SandboxError(f"docker did not answer within {self._seconds:g} s") from None
        except (requests.exceptions.RequestException, DockerException) as error:
            raise SandboxUnavailableError(_explain(error)) from error

    async def call(self, work: Callable[[Api], T]) -> T:
        """The same in a thread of the daemon's own."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.now, work)

    def close(self) -> None:
        """Close the connections; usable again afterwards."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None
        clients, self._clients, self._own = self._clients, [], threading.local()
        for client in clients:
            client.close()

    def _client(self) -> Api:
        client = getattr(self._own, "client", None)
        if client is None:
            settings = kwargs_from_env()
            client = docker.APIClient(
                version=self._version or "auto", timeout=self._seconds, **settings
            )  # `auto` asks the daemon.
            self._version = client.api_version
            if _parts(self._version) < _parts(OLDEST_API):
                client.close()
                raise SandboxUnavailableError(
                    f"Docker's API {self._version} is too old: version {OLDEST_API} (Docker 20.10) is needed"
                )
            self._own.client = client
            self._clients.append(client)
        return client


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _explain(error: Exception) -> str:
    said = str(error)
    if "PermissionError" in said or "Permission denied" in said:
        return "this user may not use Docker: add it to the group docker (usermod -aG docker NAME, then log in again)"
    if any(word in said for word in ("FileNotFoundError", "No such file", "refused", "ConnectionResetError")):
        return f"no Docker daemon answers: {_HELP}"
    return f"Docker could not be reached ({said}): {_HELP}"
