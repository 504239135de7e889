"""Compare two offices: one as an attempt found it, one as it left it."""

from pathlib import Path

from tac_rl.office.changes.base import Changes, FileChange, RefChange
from tac_rl.office.changes.files import FileDiff
from tac_rl.office.changes.forge import project_of
from tac_rl.office.changes.records import opened
from tac_rl.office.changes.repositories import diff_repository
from tac_rl.office.services import SERVICES


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
        context = records.context_of(rows, [("forge_projects", project_of(change)) for change in refs])
    return Changes(tuple(rows), tuple(files), tuple(refs), left_out, context)
