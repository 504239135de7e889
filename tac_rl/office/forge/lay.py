"""Lay this service's section of an overlay over a tenant. The same overlay gives the same git ids."""

import base64
import binascii
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pygit2 import Commit, Oid, Repository, Signature

from tac_rl.errors import OverlayError
from tac_rl.office.base import Person
from tac_rl.office.forge.clock import EPOCH, MINUTE, moment_of, stamp
from tac_rl.office.forge.committing import Action, commit_actions, create_tag, signature_of
from tac_rl.office.forge.errors import ForgeError
from tac_rl.office.forge.merging import contains, merge_base, merge_branch, merge_of
from tac_rl.office.forge.reading import branch_tip, find_commit
from tac_rl.office.forge.repositories import open_repository
from tac_rl.office.forge.store import issues, labels, merge_requests, milestones, notes, pipelines, wikis
from tac_rl.office.forge.store.accepting import accept, remove_source
from tac_rl.office.forge.store.access import Level, protect, protection
from tac_rl.office.forge.store.members import set_member
from tac_rl.office.forge.store.namespaces import namespace_of
from tac_rl.office.forge.store.people import AGENT, number_people
from tac_rl.office.forge.store.projects import create_project, find_project, project_of_id, update_project
from tac_rl.office.forge.store.pushes import refresh, set_default_branch
from tac_rl.office.overlay import (
    CommitOverlay,
    ForgeIssueOverlay,
    ForgeOverlay,
    ForgeProjectOverlay,
    MergeRequestOverlay,
    NoteOverlay,
)
from tac_rl.office.tenant import Tenant


def lay(tenant: Tenant, overlay: ForgeOverlay) -> None:
    """Add what the overlay names."""
    number_people(tenant)
    for project in overlay.projects:
        with _naming(f"forge project {project.path!r}"):
            _Layer(tenant, project).lay()


class _Layer:
    """One project of an overlay."""

    def __init__(self, tenant: Tenant, overlay: ForgeProjectOverlay) -> None:
        self.tenant = tenant
        self.overlay = overlay
        self.agent = self._person(AGENT, "its creator")
        self.project = self._find_or_make()

    def lay(self) -> None:
        overlay, project_id = self.overlay, self.project["id"]
        for username, level in overlay.members.items():
            member = self._person(username, "a member").username
            at = self.project["created_at"]
            set_member(self.tenant, "project", project_id, member, Level[level.upper()], by=AGENT, at=at)
        for position, commit in enumerate(overlay.commits):
            with _naming(f"commit {position + 1} ({_first_line(commit.message)!r})"):
                self._commit(commit)
        self._settle()
        for branch in overlay.protected_branches:
            if protection(self.tenant, project_id, branch) is None:
                protect(self.tenant, project_id, branch)
        self._labels_and_milestones()
        for issue in overlay.issues:
            with _naming(f"issue {issue.title!r}"):
                self._issue(issue)
        for request in overlay.merge_requests:
            with _naming(f"merge request {request.title!r}"):
                self._merge_request(request)
        for title, content in overlay.wiki.items():
            with _naming(f"wiki page {title!r}"):
                self._wiki_page(title, content)
        for pipeline in overlay.pipelines:
            with _naming("a pipeline"):
                ref = pipeline.ref or self.project["default_branch"]
                self._pipeline(ref, pipeline.status, pipeline.at)

    def _find_or_make(self) -> sqlite3.Row:
        overlay = self.overlay
        namespace_path, slash, path = overlay.path.partition("/")
        if not slash or not path or "/" in path:
            raise OverlayError("its path must be two words with a slash between: group/name")
        project = find_project(self.tenant, overlay.path)
        if project is None:
            first = next((commit.at for commit in overlay.commits if commit.at is not None), None) or EPOCH
            at = stamp(first)
            return create_project(
                self.tenant,
                self.agent,
                namespace_of(self.tenant, namespace_path, at=at),
                name=path,
                path=path,
                description=overlay.description,
                visibility=overlay.visibility,
                default_branch=overlay.default_branch,
                at=at,
            )
        given = overlay.model_fields_set & {"description", "visibility"}
        if given:
            project = update_project(self.tenant, project, {key: getattr(overlay, key) for key in given})
        return project

    def _settle(self) -> None:
        """After the commits: what the record says of the repository."""
        repo = open_repository(self.tenant, self.project["id"])
        refresh(self.tenant, self.project["id"], repo)
        self.project = project_of_id(self.tenant, self.project["id"])
        wanted = self.overlay.default_branch
        if "default_branch" in self.overlay.model_fields_set and wanted != self.project["default_branch"]:
            set_default_branch(self.tenant, self.project, wanted)
            self.project = project_of_id(self.tenant, self.project["id"])

    def _commit(self, commit: CommitOverlay) -> None:
        repo = open_repository(self.tenant, self.project["id"])
        default = self.project["default_branch"]
        branch = commit.branch or default
        start = branch_tip(repo, branch) or branch_tip(repo, default)
        last = None if start is None else datetime.fromtimestamp(start.commit_time, UTC)
        author = self._person(commit.author, "the author")
        who = signature_of(author, _time(commit.at, last))
        if commit.merges is not None:
            made = self._merge_branch(repo, branch, start, commit, who)
        else:
            made = self._write(repo, branch, start, commit, who)
        if commit.tag is not None:
            tagged = find_commit(repo, str(made))
            assert tagged is not None
            create_tag(repo, commit.tag, tagged, "", who)

    def _write(
        self, repo: Repository, branch: str, start: Commit | None, commit: CommitOverlay, who: Signature
    ) -> Oid:
        actions = [Action("write", path, _content(path, text)) for path, text in commit.files.items()]
        actions += [Action("delete", path) for path in commit.delete]
        return commit_actions(
            repo,
            branch=branch,
            actions=actions,
            message=commit.message,
            author=who,
            committer=who,
            start=start,
        )

    def _merge_branch(
        self, repo: Repository, branch: str, start: Commit | None, commit: CommitOverlay, who: Signature
    ) -> Oid:
        source = branch_tip(repo, str(commit.merges))
        if commit.files or commit.delete:
            raise OverlayError("a commit that merges a branch can't change files too; add another commit")
        if source is None or start is None:
            raise OverlayError(
                f"there is no branch {commit.merges!r} to merge; an earlier commit must make it"
            )
        merged = merge_branch(
            repo,
            branch,
            start,
            source,
            method="merge",
            squash=False,
            message=commit.message,
            squash_message="",
            author=who,
        )
        return merged.tip

    def _labels_and_milestones(self) -> None:
        project_id = self.project["id"]
        for label in self.overlay.labels:
            found = labels.find_label(self.tenant, project_id, label.name)
            if found is None:
                labels.create_label(self.tenant, project_id, label.name, label.color, label.description)
            else:
                given = label.model_fields_set & {"color", "description"}
                labels.update_label(self.tenant, found, {key: getattr(label, key) for key in given})
        for milestone in self.overlay.milestones:
            there = milestones.milestone_titled(self.tenant, project_id, milestone.title)
            if there is None:
                milestones.create_milestone(
                    self.tenant,
                    project_id,
                    milestone.title,
                    description=milestone.description,
                    due_date=milestone.due,
                    state=milestone.state,
                    at=self.project["created_at"],
                )
            else:
                given = milestone.model_fields_set & {"description", "state", "due"}
                values = {{"due": "due_date"}.get(key, key): getattr(milestone, key) for key in sorted(given)}
                milestones.update_milestone(self.tenant, there, values)

    def _issue(self, issue: ForgeIssueOverlay) -> None:
        at = _time(issue.at, self._latest("issue"))
        made = issues.create_issue(
            self.tenant,
            self.project,
            self._person(issue.author, "the author").username,
            title=issue.title,
            description=issue.description,
            labels=list(issue.labels),
            assignees=self._people(issue.assignees, "an assignee"),
            milestone_id=self._milestone(issue.milestone),
            iid=issue.iid,
            at=stamp(at),
        )
        last = self._notes(made, issue.notes, at)
        if issue.state == "closed":
            issues.close_issue(
                self.tenant, made, self._closer(issue.notes, issue.author), stamp(last + MINUTE)
            )

    def _merge_request(self, request: MergeRequestOverlay) -> None:
        repo = open_repository(self.tenant, self.project["id"])
        source = branch_tip(repo, request.source_branch)
        if source is None:
            raise OverlayError(f"there is no branch {request.source_branch!r}; a commit must make it")
        latest = max(
            filter(None, [self._latest("merge_request"), datetime.fromtimestamp(source.commit_time, UTC)])
        )
        at = _time(request.at, latest)
        made = merge_requests.create_merge_request(
            self.tenant,
            self.project,
            self._person(request.author, "the author").username,
            title=request.title,
            source_project=self.project,
            source_branch=request.source_branch,
            target_branch=request.target_branch or self.project["default_branch"],
            description=request.description,
            labels=list(request.labels),
            assignees=self._people(request.assignees, "an assignee"),
            reviewers=self._people(request.reviewers, "a reviewer"),
            milestone_id=self._milestone(request.milestone),
            iid=request.iid,
            at=stamp(at),
        )
        last = self._notes(made, request.notes, at)
        closer = self._closer(request.notes, request.author)
        if request.state == "closed":
            merge_requests.close_merge_request(self.tenant, made, closer, stamp(last + MINUTE))
        elif request.state == "merged":
            self._merge(made, self._person(closer, "who merged it"), last + MINUTE, request)

    def _merge(self, made: sqlite3.Row, person: Person, at: datetime, request: MergeRequestOverlay) -> None:
        repo = open_repository(self.tenant, self.project["id"])
        target, head = branch_tip(repo, made["target_branch"]), find_commit(repo, made["head_sha"])
        assert target is not None and head is not None
        if contains(repo, target, head.id):
            commit = merge_of(target, head.id)
            start = target if commit is None else commit.parents[0]
            if commit is not None:
                at = datetime.fromtimestamp(commit.commit_time, UTC)
                person = self._author_of(commit) or person
            merge_requests.mark_merged(
                self.tenant,
                made,
                person.username,
                base=merge_base(repo, start, head),
                start=start.id,
                merge_commit=None if commit is None else commit.id,
                squash_commit=None,
                at=stamp(at),
            )
            if request.remove_source_branch:
                remove_source(self.tenant, made, person, follow=False)
        else:
            remove = request.remove_source_branch
            accept(self.tenant, self.project, made, person, at=at, remove_source_branch=remove)
        refresh(self.tenant, self.project["id"], repo)

    def _author_of(self, commit: Commit) -> Person | None:
        row = self.tenant.row("SELECT username FROM people WHERE email = ?", commit.author.email)
        return None if row is None else self.tenant.person(row["username"])

    def _notes(self, issuable: sqlite3.Row, given: Iterable[NoteOverlay], last: datetime) -> datetime:
        """Add notes; gives when the last thing happened."""
        for note in given:
            last = _time(note.at, last)
            author = self._person(note.author, "the author of a note").username
            notes.add_note(self.tenant, issuable, author, note.text, at=stamp(last))
        return last

    def _wiki_page(self, title: str, content: str) -> None:
        project_id = self.project["id"]
        page = wikis.find_page(self.tenant, project_id, wikis.slug_of(title))
        if page is not None:
            wikis.delete_page(self.tenant, page["id"])
        wikis.create_page(
            self.tenant, project_id, AGENT, title, content, at=stamp(_time(None, self._made_at()))
        )

    def _pipeline(self, ref: str, status: str, at: datetime | None) -> None:
        repo = open_repository(self.tenant, self.project["id"])
        commit = find_commit(repo, ref)
        if commit is None:
            raise OverlayError(f"there is no branch or tag {ref!r} in this project")
        latest = self.tenant.value(
            "SELECT max(created_at) FROM forge_pipelines WHERE project_id = ?", self.project["id"]
        )
        last = moment_of(latest) if latest else datetime.fromtimestamp(commit.commit_time, UTC)
        pipelines.add_pipeline(
            self.tenant,
            self.project["id"],
            AGENT,
            ref=ref,
            sha=str(commit.id),
            status=status,
            at=stamp(_time(at, last)),
        )

    def _latest(self, kind: str) -> datetime | None:
        found = self.tenant.value(
            "SELECT max(created_at) FROM forge_issuables WHERE project_id = ? AND kind = ?",
            self.project["id"],
            kind,
        )
        return moment_of(found) if found else None

    def _made_at(self) -> datetime:
        return moment_of(self.project["created_at"])

    def _milestone(self, title: str | None) -> int | None:
        if title is None:
            return None
        found = milestones.milestone_titled(self.tenant, self.project["id"], title)
        if found is None:
            raise OverlayError(f"there is no milestone {title!r}; add it to the project's `milestones`")
        return int(found["id"])

    def _closer(self, given: tuple[NoteOverlay, ...], author: str) -> str:
        """Who spoke last has closed it."""
        return given[-1].author if given else author

    def _people(self, usernames: Iterable[str], role: str) -> list[str]:
        return [self._person(username, role).username for username in usernames]

    def _person(self, username: str, role: str) -> Person:
        found = self.tenant.person(username)
        if found is None:
            raise OverlayError(f"{role}, {username!r}, isn't of the company; add them to `people`")
        return found


def _time(given: datetime | None, last: datetime | None) -> datetime:
    """The overlay's time, else a minute after what came before."""
    if given is not None:
        return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return EPOCH if last is None else last + MINUTE


def _content(path: str, text: str) -> bytes:
    if not text.startswith("base64:"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("base64:"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise OverlayError(f"file {path!r} isn't valid base64: {error}") from error


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:60]


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Errors say what they are about."""
    try:
        yield
    except ForgeError as error:
        raise OverlayError(f"{what}: {error.text}") from error
    except OverlayError as error:
        raise OverlayError(f"{what}: {error}") from error
