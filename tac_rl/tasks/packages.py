"""Task packages: find, load and validate them, and make instances.

Importing a package runs its author's `instance.py` and `demonstrator.py` on the host, like any code of
this repository; what runs in sandboxes only is the evaluator and whatever agents write.
"""

import fnmatch
import itertools
import json
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePosixPath
from string import Formatter
from types import ModuleType
from typing import Any, Generic, TypeVar

from tac_rl.config.tasks import TasksSection
from tac_rl.errors import ConfigError, TaskError
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Sandbox, SandboxProvider
from tac_rl.tasks.authoring import Made, Slip, Work, WrongEnding
from tac_rl.tasks.base import Company, Grade, TaskInstance
from tac_rl.tasks.contract import Package
from tac_rl.tasks.grading import grade
from tac_rl.tasks.layout import lay_out
from tac_rl.tasks.metadata import Metadata, read_metadata

FILES = ("task.yaml", "task.md", "instance.py", "evaluator.py", "demonstrator.py")
"""What every package consists of."""

SPLITS = ("train", "heldout", "check", "warmstart")
"""Disjoint sets of seeds: drawn by training, by evaluations, by the gate `tasks check`, and by demonstrations."""

_SPLIT_SIZE = 1 << 32
_numbers = itertools.count()
P = TypeVar("P", bound=Package)


def split_seed(split: str, index: int) -> int:
    """The seed of the instance `index` (0 to 2**32 - 1) of a split. No seed belongs to two splits."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; known: {', '.join(SPLITS)}")
    if not 0 <= index < _SPLIT_SIZE:
        raise ValueError(f"index {index} of split {split} is not in 0 .. 2**32 - 1")
    return SPLITS.index(split) * _SPLIT_SIZE + index


@dataclass(frozen=True)
class TaskPackage:
    """A folder under `tasks/`, loaded and validated."""

    folder: Path
    metadata: Metadata
    template: str
    """task.md with its line breaks joined into one paragraph per blank line."""
    evaluator: bytes
    """Source of evaluator.py, for the grading sandbox."""
    make: Callable[[random.Random], Made]
    demonstrate: Callable[[str, Slip], Work]
    """The demonstrator's `work`; with a slip that never happens it is the oracle."""
    endings: tuple[WrongEnding, ...]

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def role(self) -> str:
        return self.metadata.role

    @property
    def difficulty(self) -> int:
        return self.metadata.difficulty

    @property
    def services(self) -> tuple[str, ...]:
        return self.metadata.services

    @property
    def max_turns(self) -> int | None:
        return self.metadata.max_turns

    @property
    def image(self) -> str | None:
        """The package's folder, where it brings a Dockerfile; its sandboxes then need `sandbox.kind: docker`."""
        return str(self.folder) if (self.folder / "Dockerfile").is_file() else None

    @property
    def rubric(self) -> str | None:
        return self.metadata.rubric

    def instantiate(self, seed: int) -> TaskInstance:
        """The instance of `seed`: the same seed gives the same instance, in every process.

        Raises `TaskError` where `make` fails or what it made doesn't fit the package.
        """
        # Seeding with a string hashes all of it, so the packages' instances of one seed are unrelated.
        rng = random.Random(f"{self.name} {seed}")
        where = f"task {self.name}, seed {seed}"
        try:
            made = self.make(rng)
        except Exception as error:
            raise TaskError(
                f"{where}: make() of instance.py raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, Made):
            raise TaskError(f"{where}: make() of instance.py must return a Made, not {type(made).__name__}")
        return TaskInstance(
            task=self.name,
            seed=seed,
            instruction=self._instruction(made.values, where),
            files=_checked_files(made, where),
            executable=made.executable,
            setup=tuple(made.setup),
            company=self._company(made, where),
            image=self.image,
            facts=_checked_facts(made, where),
        )

    async def lay_out(
        self,
        instance: TaskInstance,
        sandbox: Sandbox,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> None:
        """Write the instance's files and run its setup commands; the company has its overlay already."""
        await lay_out(instance, sandbox)

    async def grade(
        self,
        instance: TaskInstance,
        workspace_tar: bytes,
        trajectory: str,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> Grade:
        return await grade(instance, self, workspace_tar, trajectory, provider, company=company)

    def _company(self, made: Made, where: str) -> Company | None:
        if not self.services:
            if made.office:
                raise TaskError(f"{where}: Made has an `office`, but task.yaml names no services")
            return None
        try:
            overlay = parse_overlay(dict(made.office), f"{where}: `office` of Made")
        except ConfigError as error:
            raise TaskError(str(error)) from None
        return Company(self.metadata.snapshot, (overlay,) if made.office else ())

    def _instruction(self, values: Mapping[str, str], where: str) -> str:
        wanted = {field for _, field, _, _ in Formatter().parse(self.template) if field is not None}
        if wanted != set(values):
            missing, unused = sorted(wanted - set(values)), sorted(set(values) - wanted)
            complaints = [f"{', '.join(missing)} of task.md has no value"] if missing else []
            complaints += [f"value {', '.join(unused)} does not occur in task.md"] if unused else []
            raise TaskError(f"{where}: {'; '.join(complaints)}: make `values` of Made and task.md agree")
        return self.template.format_map(dict(values))


def load_package(folder: Path) -> TaskPackage:
    """Load and validate the package in `folder`; `TaskError` names the file, the field and the fix."""
    if not folder.is_dir():
        siblings = (
            [path.name for path in _folders(folder.parent, is_package)] if folder.parent.is_dir() else []
        )
        known = f"; there are: {', '.join(siblings)}" if siblings else ""
        raise TaskError(f"{folder}: no such task folder{known}")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise TaskError(
            f"{folder}: not a task package, it lacks {', '.join(missing)} (see `python -m tac_rl.tasks new`)"
        )
    metadata = read_metadata(folder / "task.yaml")
    template = _read_template(folder / "task.md")
    evaluator = _read_evaluator(folder / "evaluator.py")
    instance = _import(folder / "instance.py")
    demonstrator = _import(folder / "demonstrator.py")
    return TaskPackage(
        folder=folder,
        metadata=metadata,
        template=template,
        evaluator=evaluator,
        make=_function(instance, "make", "make(rng: random.Random) -> Made"),
        demonstrate=_function(demonstrator, "work", "work(instruction: str, slip: Slip) -> Work"),
        endings=_endings(demonstrator),
    )


def is_package(folder: Path) -> bool:
    """Whether a folder means to be a package of ours."""
    return (folder / "task.yaml").is_file()


@dataclass(frozen=True)
class Loader(Generic[P]):
    """Kinds of packages: how their folders are told from others, and loaded."""

    recognises: Callable[[Path], bool]
    load: Callable[[Path], P]


OURS: Loader[TaskPackage] = Loader(is_package, load_package)


def load_packages(
    path: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[TaskPackage, ...]:
    """The packages in the folder `path`, by name; the patterns choose among them.

    A pattern that fits no package is an error, since it is most likely a typing mistake.
    """
    return _load(OURS, path, include, exclude)


def _load(loader: Loader[P], path: Path, include: Sequence[str], exclude: Sequence[str]) -> tuple[P, ...]:
    folders = find_folders(path, include, loader.recognises)
    for pattern in exclude:
        require_match(pattern, [folder.name for folder in _folders(path, loader.recognises)], path)
    return tuple(loader.load(folder) for folder in folders if not _matches(folder.name, exclude))


def find_folders(
    path: Path, patterns: Sequence[str] = (), recognises: Callable[[Path], bool] = is_package
) -> list[Path]:
    """The folders of packages in `path` that fit any of the patterns (none means all), by name."""
    if not path.is_dir():
        raise TaskError(f"{path}: no such folder of task packages; set tasks.path to where they are")
    folders = _folders(path, recognises)
    if not folders:
        raise TaskError(f"{path}: holds no task package (a folder with task.yaml)")
    for pattern in patterns:
        require_match(pattern, [folder.name for folder in folders], path)
    return [folder for folder in folders if not patterns or _matches(folder.name, patterns)]


def choose_packages(section: TasksSection, loader: Loader[P]) -> tuple[tuple[P, ...], tuple[P, ...]]:
    """The packages to train on, and those that are only evaluated, as the config's section says."""
    packages = _load(loader, section.path, section.include, section.exclude)
    packages = tuple(p for p in packages if p.difficulty <= section.max_difficulty)
    for pattern in section.heldout:
        require_match(pattern, [p.name for p in packages], section.path)
    heldout = tuple(p for p in packages if _matches(p.name, section.heldout))
    training = tuple(p for p in packages if not _matches(p.name, section.heldout))
    if not training:
        raise TaskError(
            f"{section.path}: no package is left to train on; loosen tasks.include, tasks.exclude, "
            "tasks.heldout or tasks.max_difficulty"
        )
    return training, heldout


def require_match(pattern: str, names: Sequence[str], path: Path) -> None:
    """`TaskError` where no package's name fits `pattern`."""
    if not fnmatch.filter(names, pattern):
        raise TaskError(f"{path}: no task package fits {pattern!r}; there are: {', '.join(sorted(names))}")


def _folders(path: Path, recognises: Callable[[Path], bool]) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if recognises(folder))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: could not be read as UTF-8 text: {error}") from None


def _read_template(path: Path) -> str:
    text = _read_text(path)
    template = "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
    if not template:
        raise TaskError(f"{path}: is empty; write the instruction for the agent")
    try:
        fields = [field for _, field, spec, _ in Formatter().parse(template) if field is not None or spec]
    except ValueError as error:
        raise TaskError(f"{path}: {error}; write {{{{ and }}}} for braces that are no placeholder") from None
    for field in fields:
        if not field or not field.isidentifier():
            raise TaskError(f"{path}: {{{field}}} is no placeholder; use a plain name such as {{table}}")
    return template


def _read_evaluator(path: Path) -> bytes:
    source = _read_text(path)
    try:
        compile(source, str(path), "exec")
    except SyntaxError as error:
        raise TaskError(f"{path}, line {error.lineno}: {error.msg}") from None
    if not re.search(r"^def grade_checkpoints\(", source, re.MULTILINE):
        raise TaskError(f'{path}: must define grade_checkpoints(trajectory: str = "") -> Result')
    return source.encode()


def _import(path: Path) -> ModuleType:
    """Import a file under a name of its own, so that two packages' modules never meet."""
    spec = spec_from_file_location(f"tac_rl_task_{next(_numbers)}_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # both are there for any .py path
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise TaskError(f"{path}: importing it raised {type(error).__name__}: {error}") from error
    return module


def _function(module: ModuleType, name: str, signature: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        raise TaskError(f"{module.__file__}: must define {signature}")
    return function


def _endings(module: ModuleType) -> tuple[WrongEnding, ...]:
    endings = getattr(module, "ENDINGS", None)
    if not isinstance(endings, tuple) or not endings or not all(isinstance(e, WrongEnding) for e in endings):
        raise TaskError(f"{module.__file__}: ENDINGS must be a tuple of at least one WrongEnding")
    for ending in endings:
        if bool(ending.slips) == bool(ending.commands):
            raise TaskError(f"{module.__file__}: ending {ending.name!r} needs either slips or commands")
        if not all(type(result) is int for result in ending.results):
            raise TaskError(f"{module.__file__}: ending {ending.name!r}: results must be integers")
    return endings


def _checked_files(made: Made, where: str) -> dict[str, bytes]:
    files = {}
    for name, content in made.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != name:
            raise TaskError(f"{where}: file {name!r} must be a plain path relative to the workspace")
        files[name] = content.encode() if isinstance(content, str) else content
    strangers = sorted(made.executable - set(files))
    if strangers:
        raise TaskError(f"{where}: `executable` names {', '.join(strangers)}, which `files` does not hold")
    return files


def _checked_facts(made: Made, where: str) -> dict[str, Any]:
    """The facts as the evaluator will see them: after a trip through JSON."""
    try:
        facts: dict[str, Any] = json.loads(json.dumps(dict(made.facts), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TaskError(f"{where}: `facts` must hold JSON values only: {error}") from None
    return facts
