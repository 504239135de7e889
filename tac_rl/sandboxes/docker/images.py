"""The images of sandboxes: found by the hash of what they are built from, else built, by one process at a time.

An image's content is its build context (a task's: `Dockerfile` and the folder `image/` of the package,
nothing else, so that no checker gets in) and the images of ours that it stands on.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import io
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.errors import NotFound

from tac_rl.errors import SandboxError, SandboxUnavailableError
from tac_rl.sandboxes import runtime
from tac_rl.sandboxes.docker import labels
from tac_rl.sandboxes.docker.daemon import Api, Daemon
from tac_rl.sandboxes.docker.probe import probe

BASE = "tac-rl/base:trixie"
DEFAULT = "tac-rl/sandbox"
CONTEXT_FOLDER = "image"
"""The folder of a task package that its Dockerfile may copy from."""
_FOLDER = Path(__file__).resolve().parents[3] / "docker"
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Image:
    """An image that sandboxes can be started from."""

    id: str
    python: str
    """The interpreter inside that runs the server."""
    env: tuple[tuple[str, str], ...]
    """What the image sets, PATH included."""
    server: Path
    """The server's files, compiled for that interpreter."""


class Images:
    """Finds and builds images; each is looked up once in a process's life."""

    def __init__(self, daemon: Daemon, *, default: str | None, build_seconds: float) -> None:
        """`default`: the configured image, None for the one of docker/sandbox."""
        self._daemon = daemon
        self._default = default
        self._seconds = build_seconds
        self._known: dict[str | None, asyncio.Task[Image]] = {}

    async def get(self, context: str | None, owner: Mapping[str, str]) -> Image:
        """The image of a context folder, the default one for None; built where it is not there.

        `owner`: labels for a container that is asked about it. `SandboxError` says what is wrong with the
        image, or how its building ended.
        """
        task = self._known.get(context)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._known[context] = asyncio.ensure_future(
                self._daemon.call(lambda api: self._look_up(api, context, owner))
            )
        return await asyncio.shield(task)

    def _look_up(self, api: Api, context: str | None, owner: Mapping[str, str]) -> Image:
        name = self.ensure(api, context)
        found = api.inspect_image(name)
        server = probe(api, found["Id"], name, owner)
        env = tuple(_split(line) for line in found["Config"].get("Env") or ())
        return Image(found["Id"], server.python, env, server.folder)

    def ensure(self, api: Api, context: str | None) -> str:
        """The name of the image of a context folder; built where it is not there."""
        if context is not None:
            return self._built(api, Path(context), f"tac-rl/task-{_tag(Path(context).name)}", "task")
        if self._default is None:
            return self._built(api, _FOLDER / "sandbox", DEFAULT, "sandbox")
        if _image_id(api, self._default) is None:
            raise SandboxUnavailableError(
                f"sandbox.docker.image: there is no image {self._default} here (docker pull {self._default},"
                " or build it)"
            )
        return self._default

    def _built(self, api: Api, folder: Path, repository: str, kind: str) -> str:
        if not (folder / "Dockerfile").is_file():
            raise SandboxUnavailableError(
                f"{folder / 'Dockerfile'} is not there; set sandbox.docker.image to an image of your own"
            )
        with _only_one(self._seconds):
            content = self._content(api, folder)
            name = f"{repository}:{content[:16]}"
            if _image_id(api, name) is None:
                self._build(api, folder, name, {labels.KIND: kind, labels.CONTENT: content})
            if repository == DEFAULT:
                api.tag(name, repository, "latest")  # What tasks' Dockerfiles say.
        return name

    def _content(self, api: Api, folder: Path) -> str:
        """The hash of a context and of the images of ours under it, which are made where they are missing."""
        content = hashlib.sha256()
        for path in _context_files(folder):
            data = path.read_bytes()
            mode = path.stat().st_mode & 0o111
            content.update(f"{path.relative_to(folder)}\0{mode}\0{len(data)}\0".encode() + data)
        for parent in _FROM.findall((folder / "Dockerfile").read_text(encoding="utf-8")):
            if parent == BASE:
                content.update(self._base(api).encode())
            elif parent in (DEFAULT, f"{DEFAULT}:latest"):
                content.update(str(_image_id(api, self._sandbox(api))).encode())
        return content.hexdigest()

    def _sandbox(self, api: Api) -> str:
        """The default image, for a Dockerfile that stands on it; the lock is held."""
        folder = _FOLDER / "sandbox"
        content = self._content(api, folder)
        name = f"{DEFAULT}:{content[:16]}"
        if _image_id(api, name) is None:
            self._build(api, folder, name, {labels.KIND: "sandbox", labels.CONTENT: content})
        api.tag(name, DEFAULT, "latest")
        return name

    def _base(self, api: Api) -> str:
        """The base image's id; its script pulls or makes it where it is missing."""
        found = _image_id(api, BASE)
        if found is not None:
            return found
        script = _FOLDER / "build_base.sh"
        try:
            subprocess.run(
                ["bash", str(script)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=self._seconds,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", None) or error).strip().rpartition("\n")[2]
            raise SandboxUnavailableError(
                f"the image {BASE} is missing and could not be made ({said}): run {script} by hand, or set"
                " sandbox.docker.image"
            ) from error
        found = _image_id(api, BASE)
        if found is None:
            raise SandboxUnavailableError(f"{script} made no image {BASE}: run it by hand")
        return found

    def _build(self, api: Api, folder: Path, name: str, image_labels: dict[str, str]) -> None:
        said = ""
        for step in api.build(
            fileobj=_archive(folder),
            custom_context=True,
            tag=name,
            labels=image_labels,
            rm=True,
            forcerm=True,
            decode=True,
            timeout=self._seconds,
        ):
            if "error" in step:
                raise SandboxError(
                    f"{folder / 'Dockerfile'}: docker build failed: {step['error'].strip()}{said}"
                )
            lines = step.get("stream", "").strip()
            said = f" (last output: {lines[-300:]})" if lines else said


def _context_files(folder: Path) -> list[Path]:
    inside = folder / CONTEXT_FOLDER
    return [
        folder / "Dockerfile",
        *sorted(path for path in inside.rglob("*") if path.is_file() and "__pycache__" not in path.parts),
    ]


def _archive(folder: Path) -> io.BytesIO:
    """The context as tar, the same bytes for the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in _context_files(folder):
            data = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size, entry.mode = len(data), 0o755 if path.stat().st_mode & 0o111 else 0o644
            archive.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


@contextlib.contextmanager
def _only_one(seconds: float) -> Iterator[None]:
    """One process of this user at a time looks for an image and builds it."""
    path = runtime.runtime_base() / "images.lock"
    with path.open("a") as file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"another process has been building an image for {seconds:g} s ({path})"
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield


def _image_id(api: Api, name: str) -> str | None:
    try:
        return str(api.inspect_image(name)["Id"])
    except NotFound:
        return None


def _tag(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value
