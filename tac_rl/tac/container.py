"""Images of TAC's packages: each built from the package's own Dockerfile, unchanged and without a network.

Sandboxes don't start from that image itself, but from one of two on top of it:

    agent   without /utils and /npc: no evaluator, no reference data, no answers of colleagues
    room    with them, readable for the commands' user: for its scripts and its evaluator

A sandbox's /workspace is new and empty, so what the image has there lies under `PACKED` and is copied when a
sandbox starts. The same goes for folders that the Dockerfile made at the top (/data, /app): they become links
into the workspace, and so agents can write there, within `disk_mb`, and graders see what was written.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from tac_rl.config.cache import cache_folder
from tac_rl.errors import SandboxError, TacRlError, TaskError
from tac_rl.sandboxes.docker import labels
from tac_rl.sandboxes.docker.daemon import Api, Daemon
from tac_rl.tac.folder import TacFolder
from tac_rl.tac.image import PACKED, PackageImage

_SHOWN = 600
_WHY = 100
_FOLDER_COPY = re.compile(r"(?mi)^(COPY[ \t].*[ \t]/(?:utils|instruction|npc|workspace))(?=[ \t]*$)")
_NO_WHEEL = re.compile(r"No matching distribution found for ([\w.=-]+)")
_ROOT = ".root"
"""In the workspace: what the Dockerfile put at the top of the file system."""
_SYSTEM = (
    "bin boot dev etc home instruction lib lib32 lib64 libx32 media mnt npc opt proc root run sbin srv sys tmp usr"
    " utils var workspace"
)
_PACK = f"""set -e; mkdir -p /opt/package; mv /workspace {PACKED}; mkdir /workspace; \\
    for top in /*; do \\
        case " {_SYSTEM} " in *" ${{top#/}} "*) continue ;; esac; \\
        mkdir -p {PACKED}/{_ROOT}; mv "$top" {PACKED}/{_ROOT}/; ln -s "/workspace/{_ROOT}$top" "$top"; \\
    done; \\
    rm -rf /home/agent /tmp/*; mkdir -p /home/agent; chmod -R a+rX /opt/package /instruction"""
_WRAPPERS = {"agent": f"{_PACK}; rm -rf /utils /npc", "room": f"{_PACK}; chmod -R a+rX /utils; rm -rf /npc"}


class Containers:
    """Builds packages' images with this machine's Docker."""

    def __init__(self, daemon: Daemon, *, build_seconds: float) -> None:
        self._daemon = daemon
        self._seconds = build_seconds

    def image_of(self, package: TacFolder) -> PackageImage:
        """The image of a package, built where it isn't there; `TaskError` says why it can't be."""
        name = self.build(package)
        folders = {purpose: self._wrapped(package, name, purpose) for purpose in _WRAPPERS}
        return PackageImage(name, folders["agent"], folders["room"])

    def _wrapped(self, package: TacFolder, name: str, purpose: str) -> str:
        """The folder of a sandbox's image: nothing is left to do there, so it too is built without a network."""
        text = f"FROM {name}\nRUN {_WRAPPERS[purpose]}\n"
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        wrapped = f"tac-rl/tac-{_plain(package.name)}:{version}-{purpose}"

        def build(api: Api) -> None:
            if _image_id(api, wrapped) is None:
                source = {"fileobj": io.BytesIO(text.encode())}
                self._run_build(api, source, wrapped, version, f"{package.folder}: the {purpose}'s image")

        self._daemon.now(build)
        folder = cache_folder() / "tac-images" / f"{_plain(package.name)}-{purpose}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text(f"FROM {wrapped}\n", encoding="utf-8")
        return str(folder)

    def build(self, package: TacFolder) -> str:
        """The name of the image of the package's own Dockerfile; as `image_of`."""
        return self._daemon.now(lambda api: self._build(api, package))

    def _build(self, api: Api, package: TacFolder) -> str:
        dockerfile = package.folder / "Dockerfile"
        base = _image_id(api, package.dockerfile.base)
        if base is None:
            raise TaskError(
                f"{dockerfile}: its base image {package.dockerfile.base} is not here: make it with "
                f"docker/tac-base/build.sh {package.checkout}"
            )
        content = _content(package.folder, base)
        name = f"tac-rl/tac-{_plain(package.name)}:{content[:16]}"
        if _image_id(api, name) is not None:
            return name
        source = {"path": str(package.folder), "dockerfile": _for_classic_builder(dockerfile)}
        self._run_build(api, source, name, content, str(dockerfile))
        return name

    def _run_build(self, api: Api, source: Mapping[str, Any], name: str, content: str, subject: str) -> None:
        said = ""
        for step in api.build(
            **source,
            tag=name,
            labels={labels.KIND: "tac-package", labels.CONTENT: content},
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=self._seconds,
        ):
            if "error" in step:
                raise TaskError(f"{subject}: docker build failed: {step['error'].strip()} (it printed {said!r})")
            said = (said + step.get("stream", ""))[-_SHOWN:]
        if _image_id(api, name) is None:
            raise SandboxError(f"{subject}: docker build ended without an image (it printed {said!r})")


def short_failure(error: TacRlError) -> str:
    """How the build ended, without a line of TAC's Dockerfile."""
    text = " ".join(str(error).split())
    if " is not here: " in text:
        return f"{text.partition(': ')[2]}"
    if missing := _NO_WHEEL.search(text):
        return f"{missing[1]} is not in the base image"
    code = text.partition("returned a non-zero code: ")[2].partition(" ")[0]
    return f"a RUN of its own exited with {code}" if code else f"{text.partition(': ')[2][:_WHY]}"


def _for_classic_builder(dockerfile: Path) -> str:
    """The path of a Dockerfile that Docker's classic builder takes: the package's own wherever that is so.

    BuildKit, with which TAC's are made, needs no slash after a folder that several files are copied to.
    """
    text = dockerfile.read_text(encoding="utf-8")
    taken = _FOLDER_COPY.sub(r"\1/", text)
    if taken == text:
        return str(dockerfile)
    copy = cache_folder() / "tac-images" / f"{_plain(dockerfile.parent.name)}.Dockerfile"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(taken, encoding="utf-8")
    return str(copy)


def _content(folder: Path, base: str) -> str:
    """The hash of all that an image is made of."""
    digest = hashlib.sha256(base.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        digest.update(f"\0{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _image_id(api: Api, name: str) -> str | None:
    try:
        return str(api.inspect_image(name)["Id"])
    except NotFound:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
