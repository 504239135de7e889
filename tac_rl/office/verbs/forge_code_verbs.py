"""The verbs of the forge, continued: repositories, merge requests, wikis. `VERBS` is all of them."""

from __future__ import annotations

import os

from .forge import Forge
from .forge_verbs import VERBS, fields_of, notes_of, one_line
from .http import Missing, Problem, quote
from .names import NoSuchName, pick, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["VERBS"]


@VERBS.verb("branches PROJECT", "the branches")
def branches(forge: Forge, project: str) -> list[str]:
    return [
        " ".join([b["name"], *(word for word in ("default", "merged", "protected") if b.get(word))])
        for b in forge.branches(forge.project(project))
    ]


@VERBS.verb("branch PROJECT NAME [REF]", "make a branch")
def branch(forge: Forge, project: str, name: str, ref: str | None = None) -> str:
    found = forge.project(project)
    start = ref or found["default_branch"]
    forge.send("POST", forge.of(found, "/repository/branches"), branch=name, ref=start)
    return f"created {name} from {start}"


@VERBS.verb("delete-branch PROJECT BRANCH", "delete a branch")
def delete_branch(forge: Forge, project: str, branch: str) -> str:
    found = forge.project(project)
    name = _branch(forge, found, branch)
    forge.send("DELETE", forge.of(found, f"/repository/branches/{quote(name)}"))
    return f"deleted {name}"


@VERBS.verb("protect PROJECT BRANCH", "protect a branch")
def protect(forge: Forge, project: str, branch: str) -> str:
    found = forge.project(project)
    forge.send("POST", forge.of(found, "/protected_branches"), name=branch)
    return f"protected {branch}"


@VERBS.verb("unprotect PROJECT BRANCH", "let a branch be changed freely")
def unprotect(forge: Forge, project: str, branch: str) -> str:
    found = forge.project(project)
    forge.send("DELETE", forge.of(found, f"/protected_branches/{quote(branch)}"))
    return f"unprotected {branch}"


@VERBS.verb("files PROJECT [PATH] [REF]", "what is in a folder")
def files(forge: Forge, project: str, path: str | None = None, ref: str | None = None) -> list[str]:
    entries = forge.tree(forge.project(project), path or "", ref)
    return [entry["path"] + ("/" if entry["type"] == "tree" else "") for entry in entries]


@VERBS.verb("cat PROJECT PATH [REF]", "a file's content")
def cat(forge: Forge, project: str, path: str, ref: str | None = None) -> bytes:
    return forge.file(forge.project(project), path, ref)


@VERBS.verb("write PROJECT PATH TEXT...", "commit a file with this text to the default branch")
def write(forge: Forge, project: str, path: str, text: str) -> str:
    found = forge.project(project)
    branch = found["default_branch"] or "main"
    path = path.strip("/")
    where = forge.of(found, f"/repository/files/{quote(path)}")
    content = text if text.endswith("\n") else text + "\n"
    try:
        forge.file(found, path)
        method, message = "PUT", f"Update {path}"
    except Missing:
        method, message = "POST", f"Add {path}"
    forge.send(method, where, branch=branch, content=content, commit_message=message)
    return f"wrote {path} on {branch}"


@VERBS.verb("commits PROJECT [REF]", "the last 20 commits, newest first")
def commits(forge: Forge, project: str, ref: str | None = None) -> list[str]:
    found = forge.get(forge.of(forge.project(project), "/repository/commits"), ref_name=ref, per_page=20)
    return [f"{commit['short_id']} {commit['author_name']}: {commit['title']}" for commit in found]


@VERBS.verb("mrs PROJECT [STATE]", "number and title of the open merge requests")
def mrs(forge: Forge, project: str, state: str | None = None) -> list[str]:
    listed = forge.merge_requests(forge.project(project), state=_mr_state(state))
    return [one_line(request, state == "all") for request in listed]


@VERBS.verb("mr PROJECT N", "a merge request: title, state, branches, people, description, files, comments")
def mr(forge: Forge, project: str, n: int) -> list[str]:
    found = forge.project(project)
    shown = forge.merge_request(found, n)
    changed = forge.all(forge.of(found, f"/merge_requests/{n}/diffs"))
    branches = f"branches: {shown['source_branch']} into {shown['target_branch']}"
    lines = fields_of(shown)
    return [
        *lines[:2],
        branches,
        *lines[2:],
        *(f"file: {diff['new_path']}" for diff in changed),
        *notes_of(forge, found, "merge_requests", n),
    ]


@VERBS.verb("diff PROJECT N", "what a merge request changes")
def diff(forge: Forge, project: str, n: int) -> list[str]:
    found = forge.project(project)
    forge.merge_request(found, n)
    lines = []
    for changed in forge.all(forge.of(found, f"/merge_requests/{n}/diffs")):
        lines += [f"--- {changed['old_path']}", f"+++ {changed['new_path']}", changed["diff"].rstrip("\n")]
    return lines


@VERBS.verb("open-mr PROJECT SOURCE TITLE...", "ask for a branch to be merged into the default branch")
def open_mr(forge: Forge, project: str, source: str, title: str) -> str:
    found = forge.project(project)
    made = forge.send(
        "POST",
        forge.of(found, "/merge_requests"),
        source_branch=_branch(forge, found, source),
        target_branch=found["default_branch"],
        title=title,
    )
    return f"created {made['iid']}"


@VERBS.verb("retarget PROJECT N BRANCH", "let a merge request go into another branch")
def retarget(forge: Forge, project: str, n: int, branch: str) -> str:
    found = forge.project(project)
    name = _branch(forge, found, branch)
    forge.merge_request(found, n)
    forge.send("PUT", forge.of(found, f"/merge_requests/{n}"), target_branch=name)
    return f"{n} goes into {name}"


@VERBS.verb("merge PROJECT N", "merge a merge request")
def merge(forge: Forge, project: str, n: int) -> str:
    found = forge.project(project)
    target = forge.merge_request(found, n)["target_branch"]
    forge.send("PUT", forge.of(found, f"/merge_requests/{n}/merge"))
    return f"merged {n} into {target}"


@VERBS.verb("close-mr PROJECT N", "close a merge request")
def close_mr(forge: Forge, project: str, n: int) -> str:
    found = forge.project(project)
    forge.merge_request(found, n)
    forge.send("PUT", forge.of(found, f"/merge_requests/{n}"), state_event="close")
    return f"closed {n}"


@VERBS.verb("comment-mr PROJECT N TEXT...", "write under a merge request")
def comment_mr(forge: Forge, project: str, n: int, text: str) -> str:
    found = forge.project(project)
    forge.merge_request(found, n)
    forge.send("POST", forge.of(found, f"/merge_requests/{n}/notes"), body=text)
    return f"commented on {n}"


@VERBS.verb("tags PROJECT", "the tags")
def tags(forge: Forge, project: str) -> list[str]:
    return [tag["name"] for tag in forge.all(forge.of(forge.project(project), "/repository/tags"))]


@VERBS.verb("tag PROJECT NAME [REF]", "make a tag")
def tag(forge: Forge, project: str, name: str, ref: str | None = None) -> str:
    found = forge.project(project)
    at = ref or found["default_branch"]
    forge.send("POST", forge.of(found, "/repository/tags"), tag_name=name, ref=at)
    return f"tagged {at} as {name}"


@VERBS.verb("releases PROJECT", "tag and name of the releases, newest first")
def releases(forge: Forge, project: str) -> list[str]:
    found = forge.all(forge.of(forge.project(project), "/releases"))
    return [f"{release['tag_name']} {release['name']}" for release in found]


@VERBS.verb("release PROJECT TAG NAME [TEXT...]", "release a tag under a name, with notes")
def release(forge: Forge, project: str, tag: str, name: str, text: str | None = None) -> str:
    where = forge.of(forge.project(project), "/releases")
    forge.send("POST", where, tag_name=tag, name=name, description=text or "")
    return f"released {tag}"


@VERBS.verb("wiki PROJECT [PAGE...]", "the titles of the wiki's pages, or one page")
def wiki(forge: Forge, project: str, page: str | None = None) -> str | list[str]:
    found = forge.project(project)
    pages = forge.all(forge.of(found, "/wikis"))
    if page is None:
        return [shown["title"] for shown in pages]
    chosen = _page(pages, page)
    content: str = forge.get(forge.of(found, f"/wikis/{quote(chosen['slug'])}"))["content"]
    return content


@VERBS.verb("write-wiki PROJECT PAGE TEXT...", "write a page of the wiki")
def write_wiki(forge: Forge, project: str, page: str, text: str) -> str:
    found = forge.project(project)
    try:
        chosen = _page(forge.all(forge.of(found, "/wikis")), page)
    except NoSuchName:
        forge.send("POST", forge.of(found, "/wikis"), title=page, content=text)
        return f"created {page}"
    where = forge.of(found, f"/wikis/{quote(chosen['slug'])}")
    forge.send("PUT", where, title=chosen["title"], content=text)
    return f"wrote {chosen['title']}"


@VERBS.verb("pipelines PROJECT", "number, branch and status of the pipelines, newest first")
def pipelines(forge: Forge, project: str) -> list[str]:
    found = forge.all(forge.of(forge.project(project), "/pipelines"))
    return [f"{pipeline['id']} {pipeline['ref']} {pipeline['status']}" for pipeline in found]


@VERBS.verb("clone PROJECT [FOLDER]", "git clone into the current folder; push and pull work there")
def clone(forge: Forge, project: str, folder: str | None = None) -> str:
    found = forge.project(project)
    # Of the address that we were given, since the one that the service tells may not lead there from here.
    scheme, _, rest = forge.web.url.partition("://")
    account = f"{quote(forge.user)}:{quote(forge.password)}"
    address = f"{scheme}://{account}@{rest}/{found['path_with_namespace']}.git"
    folder = folder or found["path"]
    # A server that says nothing for 30 s is given up.
    patience = ["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        command = ["git", *patience, "clone", "--quiet", "--", address, folder]
        status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp("git", command, environment), 0)[1])
    except FileNotFoundError:
        raise Problem("git is not installed here") from None
    if status != 0:
        raise Problem(f"git could not clone {found['path_with_namespace']} to {folder}")
    return f"cloned to {folder}"


def _branch(forge: Forge, project: dict[str, Any], name: str) -> str:
    names = [branch["name"] for branch in forge.branches(project)]
    if name not in names:
        raise NoSuchName("branch", name, names)
    return name


def _page(pages: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return pick(name, "page", [(title, page) for page in pages for title in (page["title"], page["slug"])])


def _mr_state(state: str | None) -> str:
    chosen = plain(state or "opened")
    if chosen == "open":
        return "opened"
    if chosen not in ("opened", "closed", "merged", "all"):
        raise Problem(f"a state is opened, closed, merged or all, not {state!r}")
    return chosen
