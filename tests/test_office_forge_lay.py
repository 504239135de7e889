"""Overlays, and the cloning and packing of repositories."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from office_forge_helpers import ATLAS, OVERLAY
from office_helpers import PEOPLE

from tac_rl.errors import OverlayError
from tac_rl.office.forge.clock import EPOCH
from tac_rl.office.forge.committing import Action, commit_actions, signature
from tac_rl.office.forge.reading import branch_tip
from tac_rl.office.forge.repositories import clone_repositories, open_folder, pack_repositories
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant


def laid(folder: Path, *projects: dict[str, Any], seed: int = 0) -> Tenant:
    make_empty(folder)
    tenant = Tenant("test", folder, seed=seed)
    lay(tenant, *projects)
    return tenant


def lay(tenant: Tenant, *projects: dict[str, Any]) -> None:
    document = {"people": PEOPLE, "forge": {"projects": list(projects)}}
    lay_over(tenant, parse_overlay(document, "the test's overlay"))


def records(tenant: Tenant) -> dict[str, list[tuple[Any, ...]]]:
    """Of the forge."""
    names = [
        row["name"]
        for row in tenant.rows("SELECT name FROM sqlite_master WHERE name GLOB 'forge_*' AND type = 'table'")
    ]
    return {name: [tuple(row) for row in tenant.rows(f"SELECT * FROM {name}")] for name in names}


def refs(repository: Path) -> str:
    done = subprocess.run(
        ["git", f"--git-dir={repository}", "for-each-ref"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_overlay_gives_the_same_records_and_objects(tmp_path: Path) -> None:
    one, two = (laid(tmp_path / name, *OVERLAY["forge"]["projects"], seed=n) for n, name in enumerate("ab"))
    assert records(one) == records(two)
    for number in (1, 2):
        pair = [tenant.folder / "repositories" / f"{number}.git" for tenant in (one, two)]
        assert refs(pair[0]) == refs(pair[1]) != ""


def test_times_follow_what_came_before(tmp_path: Path) -> None:
    tenant = laid(tmp_path / "office", ATLAS)
    repo = open_folder(tenant.folder / "repositories" / "1.git")
    tip = branch_tip(repo, "main")
    assert tip is not None and tip.commit_time - tip.parents[0].commit_time == 60
    times = [row["created_at"] for row in tenant.rows("SELECT created_at FROM forge_issuables ORDER BY id")]
    assert times[:2] == ["2026-03-02T09:00:00.000Z", "2026-03-02T09:01:00.000Z"]
    closed = tenant.value("SELECT closed_at FROM forge_issuables WHERE state = 'closed'")
    assert closed == "2026-03-02T09:02:00.000Z"
    assert tenant.value("SELECT created_at FROM forge_notes") == "2026-03-02T09:01:00.000Z"
    assert tenant.value("SELECT created_at FROM forge_projects") == "2026-01-05T10:00:00.000Z"


def test_an_overlay_extends_what_is_there(tmp_path: Path) -> None:
    tenant = laid(tmp_path / "office", ATLAS)
    more = {
        "path": "root/atlas",
        "description": "New words",
        "commits": [{"message": "More", "files": {"more.bin": "base64:AP8="}, "delete": ["src/river.py"]}],
        "issues": [{"title": "Next"}],
        "labels": [{"name": "bug", "description": "broken"}],
        "wiki": {"Home": "Changed"},
        "protected_branches": ["release/*"],
    }
    lay(tenant, more)
    project = tenant.row("SELECT * FROM forge_projects")
    assert project is not None
    assert (project["description"], project["visibility"]) == ("New words", "public")
    repo = open_folder(tenant.folder / "repositories" / "1.git")
    tip = branch_tip(repo, "main")
    assert tip is not None and [entry.name for entry in tip.tree] == ["README.md", "more.bin", "src"]
    assert [row["iid"] for row in tenant.rows("SELECT iid FROM forge_issuables WHERE kind = 'issue'")] == [
        7,
        8,
        9,
    ]
    label = tenant.row("SELECT * FROM forge_labels WHERE name = 'bug'")
    assert label is not None and (label["color"], label["description"]) == ("#ff0000", "broken")
    assert tenant.value("SELECT content FROM forge_wiki_pages WHERE slug = 'Home'") == "Changed"
    rules = [row["name"] for row in tenant.rows("SELECT name FROM forge_protected_branches ORDER BY name")]
    assert rules == ["main", "release/*"]


def test_a_merged_request_is_really_merged(tmp_path: Path) -> None:
    (request,) = ATLAS["merge_requests"]
    merged = {**request, "state": "merged", "remove_source_branch": True, "milestone": "Spring"}
    tenant = laid(tmp_path / "office", {**ATLAS, "merge_requests": [merged]})
    repo = open_folder(tenant.folder / "repositories" / "1.git")
    tip = branch_tip(repo, "main")
    assert tip is not None and len(tip.parent_ids) == 2
    assert b"colour map" in (tip.tree / "src" / "map.py").data  # type: ignore[attr-defined]
    assert list(repo.branches.local) == ["main"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"path": "atlas"}, "group/name"),
    ({"path": "a/b/c"}, "group/name"),
    ({"path": "root/bad name"}, "root/bad name"),
    ({"path": "root/x", "members": {"ghost": "owner"}}, "ghost"),
    ({"path": "root/x", "commits": [{"message": "m", "from": "ghost"}]}, "ghost"),
    ({"path": "root/x", "commits": [{"message": "m", "files": {"../x": ""}}]}, "commit 1"),
    ({"path": "root/x", "commits": [{"message": "m", "files": {".git/config": ""}}]}, "commit 1"),
    ({"path": "root/x", "commits": [{"message": "m", "files": {"a": "base64:!"}}]}, "base64"),
    ({"path": "root/x", "commits": [{"message": "m", "delete": ["gone"]}]}, "doesn't exist"),
    ({"path": "root/x", "issues": [{"title": "a", "iid": 1}, {"title": "b", "iid": 1}]}, "issue 'b'"),
    ({"path": "root/x", "issues": [{"title": "a", "milestone": "M"}]}, "milestone 'M'"),
    ({"path": "root/x", "issues": [{"title": "a", "assignees": ["ghost"]}]}, "ghost"),
    ({"path": "root/x", "merge_requests": [{"title": "a", "source_branch": "b"}]}, "no branch 'b'"),
    ({"path": "root/x", "pipelines": [{"ref": "b"}]}, "'b'"),
    ({"path": "root/x", "wiki": {"/": "x"}}, "wiki page"),
]


@pytest.mark.parametrize(("project", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_can_not_be_is_named(tmp_path: Path, project: dict[str, Any], said: str) -> None:
    with pytest.raises(OverlayError, match="forge project") as caught:
        laid(tmp_path / "office", project)
    assert said in str(caught.value)


def test_clones_read_the_snapshot_and_never_write_there(tmp_path: Path) -> None:
    laid(tmp_path / "office", *OVERLAY["forge"]["projects"]).close()
    snapshot = tmp_path / "office" / "repositories"
    pack_repositories(snapshot)
    before = digests(snapshot)
    clone_repositories(snapshot, tmp_path / "clone")
    for number in (1, 2):
        assert refs(tmp_path / "clone" / f"{number}.git") == refs(snapshot / f"{number}.git")
    repo = open_folder(tmp_path / "clone" / "1.git")
    who = signature("A", "a@b.c", EPOCH)
    commit_actions(
        repo, branch="main", actions=[Action("write", "n", b"n")], message="n", author=who, committer=who
    )
    repo.references.delete("refs/heads/feature/colour")
    for arguments in (["gc", "--quiet", "--prune=now"], ["fsck", "--strict"]):
        done = subprocess.run(
            ["git", f"--git-dir={tmp_path / 'clone' / '1.git'}", *arguments], capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert digests(snapshot) == before


def test_a_clone_of_loose_references_has_them_all(tmp_path: Path) -> None:
    laid(tmp_path / "office", ATLAS).close()
    source = tmp_path / "office" / "repositories"
    clone_repositories(source, tmp_path / "clone")
    assert refs(tmp_path / "clone" / "1.git") == refs(source / "1.git")
    assert (tmp_path / "clone" / "1.git" / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_packing_a_clone_makes_it_self_contained_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        laid(tmp_path / name, *OVERLAY["forge"]["projects"]).close()
        pack_repositories(tmp_path / name / "repositories")
    assert digests(tmp_path / "a" / "repositories") == digests(tmp_path / "b" / "repositories")
    clone_repositories(tmp_path / "a" / "repositories", tmp_path / "clone")
    pack_repositories(tmp_path / "clone")
    assert not (tmp_path / "clone" / "1.git" / "objects" / "info" / "alternates").exists()
    assert digests(tmp_path / "clone") == digests(tmp_path / "a" / "repositories")
