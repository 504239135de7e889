"""What is in the folder of a TAC package: read once, checked, and told to whoever lays it out or grades it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import yaml

from tac_rl.errors import TaskError
from tac_rl.tac.dockerfile import Dockerfile, read_dockerfile
from tac_rl.tac.image import SCENARIOS, UTILS, WORKSPACE, lay_out_image
from tac_rl.tac.imports import imported

MARKS = ("task.md", "dependencies.yml", "Dockerfile")
"""With an evaluator, plain or encrypted: what tells a TAC package from any other folder."""

SERVICES = {"rocketchat": "chat", "gitlab": "forge", "plane": "tracker", "owncloud": "drive"}
"""TAC's names -> ours."""

HOOKS = ("pre_init.sh", "pre_init.py", "populate_data.py", "post_init.sh", "post_init.py")
"""In the order of TAC's init.sh; colleagues begin after the second."""

_ASKS_JUDGE = re.compile(
    r"\b(evaluate_with_llm|evaluate_chat_history_with_llm|llm_complete|litellm\.completion)\s*\("
)
_POINTS = re.compile(r"\(\s*(\d+)\s*(?:pt|point)", re.IGNORECASE)
_TOTAL = re.compile(r"total\s+of\s+(\d+)|\b(?:has|have)\D{0,40}?(\d+) points?", re.IGNORECASE)
_CHECKPOINT = re.compile(r"\bCheckpoint\(\s*(?:total\s*=\s*)?(\d+)")
_MOST_POINTS = (2, 4, 6, 8)
"""Of difficulties 1 to 4; more is 5."""


@dataclass(frozen=True)
class TacFolder:
    """A package's folder and what its files say."""

    folder: Path
    dockerfile: Dockerfile
    dependencies: tuple[str, ...]
    """TAC's names of the services it declares."""
    instruction: str
    files: Mapping[PurePosixPath, Path]
    """Path in its image -> file here."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def checkout(self) -> Path:
        """Of TAC's repository."""
        return self.folder.parents[2]

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(SERVICES[name] for name in self.dependencies)

    @property
    def scenarios(self) -> Path | None:
        """Of its colleagues, where its image holds any."""
        return self.files.get(SCENARIOS)

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """Text of its own Python files, by name."""
        return {path.name: _read(path) for path in sorted(self.folder.glob("*.py"))}

    @cached_property
    def asks_judge(self) -> bool:
        """Whether the evaluator asks a language model."""
        return any(_ASKS_JUDGE.search(text) for text in self.sources.values())

    @property
    def hooks(self) -> tuple[PurePosixPath, ...]:
        """Its initialising scripts, in the order in which they run. Empty files, which TAC has too, do nothing."""
        paths = (UTILS / name for name in HOOKS)
        return tuple(p for p in paths if p in self.files and _read(self.files[p]).strip())

    @cached_property
    def modules(self) -> frozenset[str]:
        """What its evaluator and its scripts import, directly and through `common`, apart from its own files."""
        read = {path for path in self.files if path.parent == UTILS and path.suffix == ".py"}
        names = {"evaluator.py", *(hook.name for hook in self.hooks)}
        found: set[str] = set()
        seen: set[str] = set()
        while names - seen:
            name = min(names - seen)
            seen.add(name)
            if UTILS / name in read:
                modules = imported([_read(self.files[UTILS / name])])
                names |= {f"{module}.py" for module in modules if UTILS / f"{module}.py" in read}
                found |= {module for module in modules if UTILS / f"{module}.py" not in read}
        return frozenset(found)

    @cached_property
    def points(self) -> int:
        """What its checkpoints are worth, as far as its texts say: what difficulty is judged by."""
        rubric = self.folder / "checkpoints.md"
        text = _read(rubric) if rubric.is_file() else ""
        if marked := _POINTS.findall(text):
            return sum(map(int, marked))
        if total := _TOTAL.search(text):
            return int(total[1] or total[2])
        return sum(map(int, _CHECKPOINT.findall(self.sources.get("evaluator.py", ""))))

    @property
    def difficulty(self) -> int:
        """1 to 5, by points."""
        return 1 + sum(self.points > most for most in _MOST_POINTS)

    @property
    def workspace_files(self) -> Mapping[str, Path]:
        """What lies in the workspace from the start, by relative path."""
        return {
            str(path.relative_to(WORKSPACE)): source
            for path, source in self.files.items()
            if path.is_relative_to(WORKSPACE)
        }

    def places(self, *prefixes: PurePosixPath) -> Mapping[PurePosixPath, Path]:
        """The files under these folders of the image."""
        return {
            path: source
            for path, source in self.files.items()
            if any(path.is_relative_to(prefix) for prefix in prefixes)
        }


def is_tac_folder(folder: Path) -> bool:
    """Whether a folder is one of TAC's `workspaces/tasks/`."""
    evaluator = (folder / "evaluator.py").is_file() or (folder / "evaluator.py.enc").is_file()
    return evaluator and all((folder / name).is_file() for name in MARKS)


def read_folder(folder: Path, base_image: Path | None = None) -> TacFolder:
    """Read a package's folder; `TaskError` names the file and what is wrong with it.

    `base_image` holds TAC's `common.py` and so on; default: where TAC's repository has it.
    """
    folder = folder.absolute()
    if not is_tac_folder(folder):
        wanted = ", ".join(("evaluator.py", *MARKS))
        raise TaskError(f"{folder}: not a package of TheAgentCompany, which has {wanted}")
    base_image = base_image or folder.parents[1] / "base_image"
    if not base_image.is_dir():
        raise TaskError(
            f"{folder}: TAC's common.py was looked for in {base_image}, which is no folder: keep packages where a "
            "checkout of TAC's repository has them (workspaces/tasks/NAME beside workspaces/base_image)"
        )
    dockerfile = read_dockerfile(folder / "Dockerfile")
    instruction = _read(folder / "task.md").strip()
    if not instruction:
        raise TaskError(f"{folder}/task.md: is empty")
    files = dict(lay_out_image(folder, dockerfile, base_image))
    encrypted = folder / "evaluator.py.enc"
    if UTILS / "evaluator.py" not in files:
        files[UTILS / "evaluator.py.enc"] = encrypted
    return TacFolder(folder, dockerfile, _dependencies(folder / "dependencies.yml"), instruction, files)


def _dependencies(path: Path) -> tuple[str, ...]:
    try:
        document = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise TaskError(f"{path}: could not be read as YAML: {error}") from None
    if document is None:
        return ()
    if not isinstance(document, list) or not all(isinstance(name, str) for name in document):
        raise TaskError(f"{path}: must be a list of services")
    unknown = [name for name in document if name not in SERVICES]
    if unknown:
        raise TaskError(f"{path}: {', '.join(unknown)} is unknown; the services are {', '.join(SERVICES)}")
    return tuple(dict.fromkeys(document))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: could not be read as UTF-8 text: {error}") from None
