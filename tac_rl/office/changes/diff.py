"""Compare two offices: one as an attempt found it, one as it left it."""

import re
from pathlib import Path

from tac_rl.office.changes.base import Changes, FileChange, RefChange, Value
from tac_rl.office.changes.files import FileDiff
from tac_rl.office.changes.records import opened
from tac_rl.office.changes.repositories import diff_repository
from tac_rl.office.services import SERVICES

_REPOSITORY = re.compile(r"repositories/(\d+)\.git")


def diff(before: Path, after: Path) -> Changes:
    """What is different in the office's folder `after`; either may be open, as long as nobody writes to it."""
    walk = FileDiff(before, after)
    files: list[FileChange] = []
    for service in SERVICES.values():
        for folder in service.folders:
            files += walk.changes(folder)
    refs: list[RefChange] = []
    for path in walk.repositories:
        refs += diff_repository(before, after, path)
    with opened(before, after) as records:
        rows, left_out = records.changes()
        context = records.context_of(rows, [_project_of(change.repository) for change in refs])
    return Changes(tuple(rows), tuple(files), tuple(refs), left_out, context)


def _project_of(repository: str) -> tuple[str, Value]:
    found = _REPOSITORY.fullmatch(repository)
    return "forge_projects", int(found[1]) if found else None
