"""Pages that change a project: files, branches, tags, releases, the CI file, members, settings."""

import sqlite3
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from tac_rl.office.forge.ci import FILE, lint
from tac_rl.office.forge.committing import Action
from tac_rl.office.forge.errors import ForgeError, conflict, not_found
from tac_rl.office.forge.pages.rendering import (
    form_of,
    go,
    project_at,
    render,
    required,
    split_ref,
    text_of,
    usernames,
)
from tac_rl.office.forge.reading import branch_names, branch_tip, read_file
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store import access, members, releases
from tac_rl.office.forge.store import projects as store
from tac_rl.office.forge.store.access import Level
from tac_rl.office.forge.store.branches import commit_files, make_branch, make_tag, remove_branch
from tac_rl.office.forge.store.pushes import set_default_branch
from tac_rl.office.forge.web import Ask, Asking, Segment

router = APIRouter(include_in_schema=False)
_ROOT = "/{namespace}/{project}/-"
_LEVELS = {"no one": 0, "developers": 30, "maintainers": 40}


# Files


@router.get(f"{_ROOT}/new/{{rest:path}}")
async def new_file(ask: Ask, namespace: Segment, project: Segment, rest: str) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    repo = open_repository(ask.tenant, row["id"])
    ref, path = (row["default_branch"], "") if row["is_empty"] else split_ref(repo, rest)[:2]
    return render(ask, "edit_file.html", project=row, ref=ref, path=f"{path}/" if path else "", text=None)


@router.get(f"{_ROOT}/edit/{{rest:path}}")
async def edit_file(ask: Ask, namespace: Segment, project: Segment, rest: str) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    repo = open_repository(ask.tenant, row["id"])
    ref, path, commit = split_ref(repo, rest)
    found = read_file(repo, commit, path)
    if found is None:
        raise not_found("File")
    text = text_of(found[1])
    if text is None:
        raise ForgeError(400, "This file isn't text")
    return render(ask, "edit_file.html", project=row, ref=ref, path=path, text=text)


@router.post(f"{_ROOT}/files")
async def write_file(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    """Create, update or delete one file, on its branch or on a new one that starts there."""
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    form = await form_of(request)
    branch = required(form, "branch")
    target = form.get("target_branch", "").strip() or branch
    path, kind = required(form, "path"), form.get("action", "update")
    if kind not in ("create", "update", "delete"):
        raise ForgeError(400, "action does not have a valid value")
    content = form.get("content", "").encode()
    message = form.get("message", "").strip() or f"{kind.capitalize()} {path}"
    commit_files(
        ask.tenant,
        row,
        ask.user(),
        branch=target,
        message=message,
        actions=[Action(kind, path, content if kind != "delete" else None)],  # type: ignore[arg-type]
        start_branch=branch if target != branch else None,
    )
    shown = f"blob/{quote(target)}/{quote(path)}" if kind != "delete" else f"tree/{quote(target)}"
    return go(f"/{row['full_path']}/-/{shown}")


@router.get(f"{_ROOT}/ci/editor")
async def ci_editor(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    repo = open_repository(ask.tenant, row["id"])
    tip = branch_tip(repo, row["default_branch"])
    found = None if tip is None else read_file(repo, tip, FILE)
    text = None if found is None else text_of(found[1])
    checked = None if text is None else lint(text)
    values = {"ref": row["default_branch"], "path": FILE, "text": text, "checked": checked}
    return render(ask, "ci_editor.html", project=row, **values)


# Branches, tags, releases


@router.post(f"{_ROOT}/branches")
async def change_branches(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    """Make a branch, or delete one."""
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    form = await form_of(request)
    name = required(form, "name")
    if form.get("action") == "delete":
        remove_branch(ask.tenant, row, ask.user(), name)
    else:
        make_branch(ask.tenant, row, ask.user(), name, form.get("ref") or row["default_branch"])
    return go(f"/{row['full_path']}/-/branches")


@router.get(f"{_ROOT}/branches/delete")
async def confirm_delete_branch(ask: Ask, namespace: Segment, project: Segment, name: str) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    if branch_tip(open_repository(ask.tenant, row["id"]), name) is None:
        raise not_found("Branch")
    return render(ask, "delete_branch.html", project=row, name=name)


@router.post(f"{_ROOT}/tags")
async def create_tag(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    form = await form_of(request)
    ref = form.get("ref") or row["default_branch"]
    make_tag(ask.tenant, row, ask.user(), required(form, "name"), ref, form.get("message", ""))
    return go(f"/{row['full_path']}/-/tags")


@router.post(f"{_ROOT}/releases")
async def create_release(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    row = project_at(ask, namespace, project, Level.DEVELOPER)
    form = await form_of(request)
    releases.create_release(
        ask.tenant,
        row,
        ask.user(),
        required(form, "tag"),
        name=form.get("name", "").strip(),
        description=form.get("description", ""),
        ref=form.get("ref") or row["default_branch"],
    )
    return go(f"/{row['full_path']}/-/releases")


# Members and settings


@router.post(f"{_ROOT}/project_members")
async def change_members(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    """Add somebody (or change their level), or remove them."""
    row = project_at(ask, namespace, project, Level.MAINTAINER)
    form = await form_of(request)
    for username in usernames(ask.tenant, required(form, "username")):
        if form.get("action") == "remove":
            members.remove_member(ask.tenant, "project", row["id"], username)
            continue
        level = form.get("access_level", "30")
        if level not in ("10", "20", "30", "40", "50") or int(level) > ask.level(row):
            raise ForgeError(400, "access_level does not have a valid value")
        members.set_member(ask.tenant, "project", row["id"], username, int(level), by=ask.user().username)
    return go(f"/{row['full_path']}/-/project_members")


@router.get("/{namespace}/{project}/edit")
async def settings(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project, Level.MAINTAINER)
    return render(ask, "settings.html", project=row)


@router.post("/{namespace}/{project}/edit")
async def change_settings(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    """Name, description, visibility, picture; archiving; deleting for who types the project's path."""
    row = project_at(ask, namespace, project, Level.MAINTAINER)
    form = await form_of(request)
    action = form.get("action", "")
    if action in ("delete", "archive", "unarchive"):
        row = project_at(ask, namespace, project, Level.OWNER)
    if action == "delete":
        if form.get("confirm") != row["full_path"]:
            raise ForgeError(400, f"Type {row['full_path']} to delete the project")
        store.delete_project(ask.tenant, row)
        return go("/")
    changes: dict[str, object] = {"archived": action == "archive"} if action else dict(form)
    if form.get("visibility", "private") not in ("private", "internal", "public"):
        raise ForgeError(400, "visibility does not have a valid value")
    upload = request.state.uploads.get("avatar")
    if upload is not None and upload[0]:
        store.set_avatar(ask.tenant, row["id"], *upload)
    given: dict[str, object] = {
        key: changes[key] for key in ("name", "description", "visibility", "archived") if key in changes
    }
    store.update_project(ask.tenant, row, given)
    return go(f"/{row['full_path']}/edit")


@router.get(f"{_ROOT}/settings/repository")
async def repository_settings(ask: Ask, namespace: Segment, project: Segment) -> Response:
    row = project_at(ask, namespace, project, Level.MAINTAINER)
    return render(
        ask,
        "repository_settings.html",
        project=row,
        rules=access.protections(ask.tenant, row["id"]),
        branches=branch_names(open_repository(ask.tenant, row["id"])),
        levels=_LEVELS,
    )


@router.post(f"{_ROOT}/settings/repository")
async def change_repository(ask: Ask, namespace: Segment, project: Segment, request: Request) -> Response:
    """The default branch, or which branches are protected, and for whom."""
    row = project_at(ask, namespace, project, Level.MAINTAINER)
    form = await form_of(request)
    if form.get("default_branch"):
        set_default_branch(ask.tenant, row, form["default_branch"])
    else:
        _change_protection(ask, row, form)
    return go(f"/{row['full_path']}/-/settings/repository")


def _change_protection(ask: Asking, project: sqlite3.Row, form: dict[str, str]) -> None:
    name = required(form, "name")
    there = access.protection(ask.tenant, project["id"], name) is not None
    if form.get("action") == "add" and there:
        raise conflict(f"Protected branch '{name}' already exists")
    levels = [_LEVELS.get(form.get(field, "maintainers")) for field in ("push", "merge")]
    if None in levels:
        raise ForgeError(400, "The level does not have a valid value")
    with ask.tenant.transaction():
        access.unprotect(ask.tenant, project["id"], name)
        if form.get("action") != "remove":
            access.protect(
                ask.tenant,
                project["id"],
                name,
                push_level=levels[0] or 0,
                merge_level=levels[1] or 0,
                allow_force_push=form.get("force") == "1",
            )
