"""Where the files of a TAC package lie, as building its image on TAC's base image would lay them out."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tac_rl.errors import TaskError
from tac_rl.tac.dockerfile import Dockerfile

UTILS, INSTRUCTION, NPC, WORKSPACE = map(PurePosixPath, ("/utils", "/instruction", "/npc", "/workspace"))
_FOLDERS = (UTILS, INSTRUCTION, NPC, WORKSPACE)
SCENARIOS = NPC / "scenarios.json"
BASE_FILES = ("common.py", "config.py", "scoring.py")
"""Of TAC's base image: what evaluators and init scripts import."""

PACKED = "/opt/package/workspace"
"""In a container: what the package's image has in its workspace, which is new and empty in every sandbox."""
UNPACK = f"cp -r --preserve=mode,timestamps {PACKED}/. {WORKSPACE}/"
"""The shell command that lays it out."""
IMAGE_PYTHON = "/usr/local/bin/python"


@dataclass(frozen=True)
class PackageImage:
    """A package's own image, and the folders whose Dockerfiles make sandboxes' images of it (`container.py`)."""

    name: str
    agent: str
    room: str


def lay_out_image(folder: Path, dockerfile: Dockerfile, base_image: Path) -> Mapping[PurePosixPath, Path]:
    """Path in the image -> file on this machine. Later copies replace earlier ones, as in a build."""
    files: dict[PurePosixPath, Path] = {}
    for name in BASE_FILES:
        files[UTILS / name] = _existing(base_image / name)
    for path in sorted(folder.glob("*.py")):  # ONBUILD COPY *.py /utils/
        files[UTILS / path.name] = path
    files[UTILS / "dependencies.yml"] = _existing(folder / "dependencies.yml")
    files[INSTRUCTION / "task.md"] = _existing(folder / "task.md")
    for copy in dockerfile.copies:
        files.update(_copied(folder, copy.sources, copy.target))
    return files


def _copied(folder: Path, sources: tuple[str, ...], target: str) -> Mapping[PurePosixPath, Path]:
    """As Docker's COPY does it: a folder's content; a file into a folder where the target is one."""
    place = WORKSPACE / target  # An absolute target stands for itself.
    if ".." in place.parts:
        raise TaskError(f"{folder}/Dockerfile: COPY to {target}: `..` is not understood here")
    found: list[Path] = []
    for source in sources:
        pattern = source.lstrip("/")
        matches = sorted(Path(match) for match in glob.glob(str(folder / pattern)))  # noqa: PTH207
        if not matches:
            raise TaskError(f"{folder}/Dockerfile: COPY {source}: there is no such file in the folder")
        found += matches
    files: dict[PurePosixPath, Path] = {}
    for path in found:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise TaskError(f"{folder}/Dockerfile: COPY {path.name}: leads out of the folder")
        if path.is_dir():
            files.update({place / f.relative_to(path): f for f in sorted(path.rglob("*")) if f.is_file()})
        elif target.endswith("/") or target == "." or len(found) > 1 or place in _FOLDERS:
            files[place / path.name] = path
        else:
            files[place] = path
    return files


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise TaskError(f"{path}: is missing")
    return path
