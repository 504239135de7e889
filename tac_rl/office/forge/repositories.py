"""Bare repositories on disk: made, cloned by alternates, packed for a snapshot, sharing objects.

A tenant's repository lies in `repositories/<project id>.git`. Those of a fresh tenant hold no objects:
`objects/info/alternates` points at the snapshot's, which git and libgit2 only ever read.
"""

import os
import shutil
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel, RepositoryOpenFlag

from tac_rl.office.forge.git_process import run_git
from tac_rl.office.tenant import Tenant

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_PACKED_HEADER = "# pack-refs with: peeled fully-peeled sorted \n"

# The office's repositories are all there is to know: no configuration of the machine or of who runs this.
for _level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
    pygit2.settings.search_path[_level] = ""
pygit2.settings.owner_validation = False


def repositories_folder(tenant: Tenant) -> Path:
    return tenant.folder / "repositories"


def repository_folder(tenant: Tenant, project_id: int) -> Path:
    return repositories_folder(tenant) / f"{project_id}.git"


def open_repository(tenant: Tenant, project_id: int) -> pygit2.Repository:
    """For one thread; opening costs a fraction of a millisecond."""
    return open_folder(repository_folder(tenant, project_id))


def open_folder(folder: Path) -> pygit2.Repository:
    return pygit2.Repository(str(folder), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE)


def make_repository(folder: Path, default_branch: str) -> None:
    """An empty bare repository in a new folder."""
    _lay_out(folder, f"ref: refs/heads/{default_branch}\n", "")


def clone_repositories(source: Path, target: Path) -> None:
    """Clone every repository in the folder `source` into the new folder `target`, without copying objects.

    The clones read the objects of `source`, which must stay where it is; they never write there.
    """
    target.mkdir()
    for repository in sorted(source.glob("*.git")):
        clone = target / repository.name
        _lay_out(clone, (repository / "HEAD").read_text(), _all_refs(repository))
        (clone / "objects" / "info" / "alternates").write_text(f"{(repository / 'objects').resolve()}\n")


def pack_repositories(folder: Path) -> None:
    """Make each repository in `folder` self-contained and cheap to clone: one pack, packed refs, no more.

    The same history gives the same bytes (with the same version of git).
    """
    for repository in sorted(folder.glob("*.git")):
        run_git(["pack-refs", "--all"], repository)
        run_git(
            ["-c", "pack.threads=1", "-c", "repack.writeBitmaps=false", "repack", "-a", "-d", "-f", "-q"],
            repository,
        )
        (repository / "objects" / "info" / "alternates").unlink(missing_ok=True)
        run_git(["prune-packed", "-q"], repository)
        run_git(["prune", "--expire=now"], repository)
        for leftover in ("FETCH_HEAD", "ORIG_HEAD", "description"):
            (repository / leftover).unlink(missing_ok=True)
        for kept in ("hooks", "logs", "branches", "info"):
            shutil.rmtree(repository / kept, ignore_errors=True)


def share_objects(source: Path, target: Path) -> None:
    """Let the repository `target` read all objects of `source`: as hard links, since objects never change.

    What `source` borrows by alternates `target` will borrow as well.
    """
    lenders = [*_alternates(target), *(a for a in _alternates(source) if a not in _alternates(target))]
    if lenders:
        _replace(target / "objects" / "info" / "alternates", "".join(f"{lender}\n" for lender in lenders))
    for path in sorted((source / "objects").glob("[0-9a-f][0-9a-f]/*")):
        _link(path, target / "objects" / path.parent.name / path.name)
    # A pack's index comes last: with it the pack begins to exist.
    packs = (source / "objects" / "pack").glob("pack-*")
    for path in sorted(packs, key=lambda p: (p.suffix == ".idx", p.name)):
        _link(path, target / "objects" / "pack" / path.name)


def fork_repository(source: Path, target: Path) -> None:
    """A copy of `source` with its branches and tags, in the new folder `target`."""
    refs = [line for line in _ref_lines(source) if line[1].startswith(("refs/heads/", "refs/tags/"))]
    _lay_out(target, (source / "HEAD").read_text(), _packed(refs))
    share_objects(source, target)


def _lay_out(folder: Path, head: str, packed_refs: str) -> None:
    # As little as git and libgit2 take for a repository: this is made for every project of every tenant.
    root = str(folder)
    for name in ("", "/objects", "/objects/info", "/refs"):
        os.mkdir(root + name)  # noqa: PTH102
    (folder / "HEAD").write_text(head)
    (folder / "config").write_text(_CONFIG)
    if packed_refs:
        (folder / "packed-refs").write_text(packed_refs)


def _all_refs(repository: Path) -> str:
    """The content of a packed-refs file with all refs of a repository."""
    packed = repository / "packed-refs"
    loose = any(files for _, _, files in os.walk(repository / "refs"))
    if not loose:
        return packed.read_text() if packed.exists() else ""
    return _packed(_ref_lines(repository))


def _ref_lines(repository: Path) -> list[tuple[str, str, str]]:
    """(object id, name, what a tag object peels to or nothing), by name."""
    opened = open_folder(repository)
    found = []
    for reference in opened.listall_reference_objects():
        target = reference.target
        if isinstance(target, str):
            continue
        peeled = opened[target]
        commit = peeled.peel(None) if isinstance(peeled, pygit2.Tag) else None
        found.append((str(target), reference.name, str(commit.id) if commit is not None else ""))
    return sorted(found, key=lambda line: line[1].encode())


def _packed(refs: list[tuple[str, str, str]]) -> str:
    if not refs:
        return ""
    lines = [f"{oid} {name}\n" + (f"^{peeled}\n" if peeled else "") for oid, name, peeled in refs]
    return _PACKED_HEADER + "".join(lines)


def _alternates(repository: Path) -> list[str]:
    try:
        return (repository / "objects" / "info" / "alternates").read_text().splitlines()
    except FileNotFoundError:
        return []


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        os.link(source, target)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.replace(path)
