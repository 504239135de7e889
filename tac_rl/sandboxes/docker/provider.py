"""Starts sandboxes in Docker containers, and cleans up after all of them."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tac_rl.config.sandbox import DockerSection
from tac_rl.errors import SandboxError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.base import Sandbox, SandboxSpec
from tac_rl.sandboxes.client import SandboxClient
from tac_rl.sandboxes.docker.containers import Policy, Shape
from tac_rl.sandboxes.docker.daemon import Daemon
from tac_rl.sandboxes.docker.images import Images
from tac_rl.sandboxes.docker.labels import owner_labels, rollout_labels
from tac_rl.sandboxes.docker.leftovers import sweep_docker
from tac_rl.sandboxes.docker.pool import Pool
from tac_rl.sandboxes.docker.starting import Started, Starter
from tac_rl.sandboxes.settings import ENVIRONMENT, make_settings
from tac_rl.sandboxes.sweep import sweep


class DockerSandbox(SandboxClient):
    """One running container."""

    def __init__(
        self,
        spec: SandboxSpec,
        started: Started,
        name: str,
        starter: Starter,
        forget: Callable[["DockerSandbox"], None],
    ) -> None:
        super().__init__(spec, started.connection)
        self.listeners = started.listeners
        self.container = started.id
        self.name = name
        """The container's name in a moment, for people; it says what the sandbox is for."""
        self._started = started
        self._starter = starter
        self._forget = forget

    async def stop(self) -> None:
        """Kill every process and remove every trace on the host. Safe to call twice, and after a crash."""
        try:
            await self._starter.discard(self._started)
        finally:
            self._forget(self)


class DockerProvider:
    """Starts sandboxes in containers; `close` stops those that still run."""

    kind = "docker"

    def __init__(
        self,
        section: DockerSection | None = None,
        *,
        runtime_dir: Path | None = None,
        start_seconds: float = 30.0,
        run: str = "",
    ) -> None:
        """Touches nothing yet. `run`: the label of the same name; the rest is as in the config."""
        self._section = section or DockerSection()
        self._runtime_dir = runtime_dir
        self._start_seconds = start_seconds
        self._labels = owner_labels(run)
        self._policy = Policy(self._section.user, self._section.read_only, self._section.cpus)
        self._daemon = Daemon(api_seconds=self._section.api_seconds)
        self._images = Images(
            self._daemon, default=self._section.image, build_seconds=self._section.build_seconds
        )
        self._running: set[DockerSandbox] = set()
        self._preparing = asyncio.Lock()
        self._home: Path | None = None
        self._starter: Starter | None = None
        self._pool: Pool | None = None

    def check(self) -> None:
        """Prove that this machine can isolate; `SandboxUnavailableError` says what is missing and the fix."""
        runtime.runtime_base(self._runtime_dir)
        self._daemon.check()

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """A ready sandbox with an empty workspace; `SandboxError` names what went wrong."""
        _check_mounts(spec)
        if spec.network and self._section.network == "none":
            raise SandboxError(
                f"sandbox {spec.name} needs a network, and the config allows none: set sandbox.docker.network: bridge"
            )
        starter, pool = await self._prepare()
        image = await self._images.get(spec.image, self._labels)
        shape = Shape.of(spec, image)
        started = pool.take(shape)
        try:
            if started is None:
                labels = {**self._labels, **rollout_labels(spec.name)}
                started = await starter.start(shape, spec.name, labels)
                name = started.name
            else:
                name = starter.rename(started, spec.name)
            sandbox = DockerSandbox(spec, started, name, starter, self._running.discard)
            self._running.add(sandbox)
            await sandbox.init(self._settings(shape, spec), timeout_s=self._start_seconds)
        except BaseException as error:
            if started is not None:
                await starter.discard(started)
                self._running = {one for one in self._running if one._started is not started}
            if isinstance(error, SandboxError):
                raise SandboxError(f"sandbox {spec.name} did not start: {error}") from error
            raise
        return sandbox

    async def warm(self) -> None:
        """Wait until the pool has what it is to have for the kinds of sandboxes that were asked for."""
        if self._pool is not None:
            await self._pool.filled()

    async def close(self) -> None:
        """Stop every sandbox that is still running, and leave nothing behind."""
        if self._home is None or self._pool is None or self._starter is None:
            self._daemon.close()
            return
        await self._pool.close()
        stopped = await asyncio.gather(
            *(sandbox.stop() for sandbox in list(self._running)), return_exceptions=True
        )
        await self._starter.wait()
        with contextlib.suppress(SandboxError):  # The next start sweeps too.
            await self._daemon.call(sweep_docker)
        runtime.remove(self._home)
        with contextlib.suppress(OSError):  # Another provider of this process still uses it.
            self._home.parent.rmdir()
        sweep(self._home.parents[1])
        self._home = self._starter = self._pool = None
        self._daemon.close()
        for failure in stopped:
            if isinstance(failure, BaseException):
                raise failure

    async def _prepare(self) -> tuple[Starter, Pool]:
        """At the first start: clean up after dead processes, and make what all sandboxes share."""
        async with self._preparing:
            if self._home is None or self._starter is None or self._pool is None:
                base = runtime.runtime_base(self._runtime_dir)
                sweep(base)
                await self._daemon.call(sweep_docker)
                home = base / runtime.identity(os.getpid()) / secrets.token_hex(2)
                home.mkdir(parents=True, mode=0o700)
                starter = Starter(self._daemon, home, self._policy, start_seconds=self._start_seconds)

                async def start(shape: Shape) -> Started:
                    return await starter.start(shape, "ready", self._labels)

                self._pool = Pool(
                    start, starter.discard, size=self._section.pool, shapes=self._section.pool_kinds
                )
                self._home, self._starter = home, starter
            return self._starter, self._pool

    def _settings(self, shape: Shape, spec: SandboxSpec) -> dict[str, Any]:
        """The server's first request."""
        image = dict(shape.image.env)
        path = ":".join((*spec.path, image.get("PATH", "/usr/local/bin:/usr/bin:/bin")))
        env = {**ENVIRONMENT, **image, "PATH": path, **dict(spec.env)}
        # Containers share their users' numbers, so the control group counts processes.
        uid = self._policy.user or None
        return make_settings(spec.limits, env, uid=uid, mount_disk=False, count_by_user=False)


def _check_mounts(spec: SandboxSpec) -> None:
    """The commands' user is nobody special on the host, who may not be allowed to read a mount."""
    for mount in spec.read_only_mounts:
        source = Path(mount.source)
        if not source.exists():
            raise SandboxError(f"sandbox {spec.name}: the mount {source} does not exist")
        needed = 0o005 if source.is_dir() else 0o004
        if source.stat().st_mode & needed != needed:
            raise SandboxError(f"sandbox {spec.name}: {source} must be readable for everyone (chmod o+rX)")
