"""Helpers for the tests of tasks: small packages written into a folder, and the kit's modules."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import tac_rl.tasks
from tac_rl.tasks.packages import TaskPackage, load_package
from tac_rl.tasks.scaffold import new_package

KIT = Path(tac_rl.tasks.__file__).parent / "grading_kit"
NAME = "admin-note-owner"


@contextmanager
def kit_modules(*names: str) -> Iterator[list[ModuleType]]:
    """Import modules of the grading kit as evaluators do, and forget them afterwards."""
    sys.path.insert(0, str(KIT))
    before = set(sys.modules)
    try:
        yield [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(KIT))
        for name in set(sys.modules) - before:
            if str(KIT) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def package_folder(tmp_path: Path, **changes: str | None) -> Path:
    """The scaffold's package with files replaced (`task_yaml="..."`), or removed (None)."""
    folder = new_package(tmp_path, NAME)
    for key, text in changes.items():
        stem, _, suffix = key.rpartition("_")
        path = folder / f"{stem}.{suffix}"
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    return folder


def package_with_evaluator(tmp_path: Path, body: str) -> TaskPackage:
    """A package whose `grade_checkpoints` has this body (one or more lines, not indented)."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    source = (
        f'import common, os\nfrom scoring import *\n\n\ndef grade_checkpoints(trajectory=""):\n{indented}\n'
    )
    return load_package(package_folder(tmp_path, evaluator_py=source))
