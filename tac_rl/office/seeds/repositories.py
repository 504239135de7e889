"""The histories of the ten repositories: stories, housekeeping, releases, branches and merge requests."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tac_rl.office.overlay import CommitOverlay
from tac_rl.office.seeds import project_files as texts
from tac_rl.office.seeds.calendar import workday_near, working_time
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import Product
from tac_rl.office.seeds.stories import Step
from tac_rl.office.seeds.world import Change, Release, Work, World

_OPEN_SINCE = datetime(2026, 1, 31, tzinfo=UTC)
"""Branches of the stories that close no issue and are younger than this are still open."""
_BEFORE_MERGE = timedelta(minutes=100)
"""Between the commit on a branch and its merge."""

Files = dict[str, str]
Edit = Callable[[Files], Files]
"""From the files as they are to those that change."""


@dataclass
class Request:
    """A merge request."""

    product: Product
    title: str
    branch: str
    author: str
    reviewer: str
    opened: datetime
    state: str
    """`opened`, `closed` or `merged`."""
    text: str
    work: Work | None
    number: int = 0
    """In the project, by time."""

    @property
    def ref(self) -> str:
        return f"{self.product.path}!{self.number}"


@dataclass(frozen=True)
class _Event:
    """Something that becomes a commit."""

    at: datetime
    message: str
    author: str
    edit: Edit
    branch: str = ""
    merges: str = ""
    tag: str = ""


@dataclass(frozen=True)
class History:
    """One repository."""

    product: Product
    commits: tuple[CommitOverlay, ...]
    requests: tuple[Request, ...]
    files: Files
    """Of the default branch, at the end."""


def make_histories(world: World) -> tuple[History, ...]:
    return tuple(_Writer(world, product).write() for product in world.products)


class _Writer:
    """Collects what happened in one repository, then plays it in order."""

    def __init__(self, world: World, product: Product) -> None:
        self.world = world
        self.product = product
        self.chance: random.Random = world.chance(f"repository {product.path}")
        self.events: list[_Event] = []
        self.requests: list[Request] = []

    def write(self) -> History:
        self._begin()
        for change in self.world.changes_of(self.product):
            self._story(change)
        for release in self.world.releases:
            if release.product is self.product:
                self._release(release)
        for work in self.world.works_of(self.product):
            self._chore(work)
        self._runbook()
        self._proposals()
        self.requests.sort(key=lambda request: request.opened)
        for number, request in enumerate(self.requests, 1):
            request.number = number
        commits, files = self._play()
        return History(self.product, commits, tuple(self.requests), files)

    def _commit(self, when: datetime, message: str, author: str, edit: Edit, **more: str) -> None:
        self.events.append(_Event(when, message, author, edit, **more))

    # What happened

    def _begin(self) -> None:
        product, lead = self.product, self.product.lead
        first = texts.first_files(product)
        start = datetime(product.started.year, product.started.month, product.started.day, 8, 30, tzinfo=UTC)
        self._commit(start, f"Start {product.name}", lead, _writes(first))
        housekeeping: list[tuple[date, str, Edit]] = [
            (
                date(2025, 10, 6),
                "Say who looks after what",
                _writes({"CODEOWNERS": texts.codeowners(product)}),
            ),
            (
                date(2025, 10, 20),
                "How to contribute",
                _writes({"CONTRIBUTING.md": texts.contributing(product)}),
            ),
            (
                date(2025, 11, 3),
                "The same editor settings for everybody",
                _writes({".editorconfig": texts.EDITORCONFIG}),
            ),
            (
                date(2025, 11, 24),
                "Test with the next version of the language too",
                _writes({".gitlab-ci.yml": texts.pipeline(product, versions=("3.11", "3.12"))}),
            ),
            (date(2025, 12, 8), "Where to ask for help", _writes({"SUPPORT.md": texts.support(product)})),
        ]
        for day, message, edit in housekeeping:
            moved = workday_near(day + timedelta(self.chance.randint(0, 9)))
            author = self.chance.choice((lead, *product.members, "priya_sharma"))
            self._commit(working_time(self.chance, moved), message, author, edit)

    def _story(self, change: Change) -> None:
        step, work = change.step, change.work
        message = f"{step.message}\n\nCloses #{work.number}" if work else step.message
        if not step.branch:
            self._commit(change.at, message, change.author, _edit_of(step))
            return
        branch = f"feature/{step.branch}"
        merged = work is not None or change.at < _OPEN_SINCE
        opened = change.at - _BEFORE_MERGE if merged else change.at
        self._commit(opened, message, change.author, _edit_of(step), branch=branch)
        state = "merged" if merged else "opened"
        text = f"{step.message}.\n\nTests are in `{step.edits[-1].path}`."
        request = self._request(change.author, step.message, branch, opened, state, text, work)
        if merged:
            self._merge(request, change.at)

    def _request(
        self, author: str, title: str, branch: str, opened: datetime, state: str, text: str, work: Work | None
    ) -> Request:
        people = tuple(dict.fromkeys((self.product.lead, *self.product.members)))
        others = [person for person in people if person != author]
        reviewer = work.reviewer if work and work.reviewer != author else self.chance.choice(others)
        if work:
            text += f"\n\n{'Closes' if state == 'merged' else 'See'} #{work.number}"
        request = Request(
            product=self.product,
            title=title,
            branch=branch,
            author=author,
            reviewer=reviewer,
            opened=opened + timedelta(minutes=4),
            state=state,
            text=text,
            work=work,
        )
        self.requests.append(request)
        return request

    def _merge(self, request: Request, when: datetime) -> None:
        message = f"Merge branch '{request.branch}' into 'main'\n\n{request.title}"
        self._commit(when, message, request.author, _writes({}), merges=request.branch)

    def _release(self, release: Release) -> None:
        product, version = self.product, release.version
        changes = [change.step.message for change in release.changes if not _still_open(change)]
        entry = f"\n## {version} ({release.at:%Y-%m-%d})\n\n" + "".join(
            f"* {change}\n" for change in changes or ["Housekeeping only"]
        )

        def edit(files: Files) -> Files:
            manifest = "package.json" if product.language == "javascript" else "pyproject.toml"
            text = re.sub(r'("?version"?( =|:) ")[\d.]+"', rf'\g<1>{version}"', files[manifest], count=1)
            head, _, rest = files["CHANGELOG.md"].partition("\n")
            return {manifest: text, "CHANGELOG.md": f"{head}\n{entry}{rest}"}

        self._commit(release.at, f"Release {version}", product.lead, edit, tag=f"v{version}")

    def _chore(self, work: Work) -> None:
        """Those that are done leave a commit, where they are about files."""
        if work.kind != "chore" or work.closed is None:
            return
        product, closes = self.product, f"\n\nCloses #{work.number}"
        if work.title.startswith("Move the pipeline"):
            text = texts.pipeline(product, versions=("3.11", "3.12"), runner="linux-2026")
            self._commit(
                work.closed, f"Use the new runners{closes}", work.assignee, _writes({".gitlab-ci.yml": text})
            )
        elif work.title.startswith("Dependency updates") and product.language != "javascript":
            self._commit(
                work.closed,
                f"Tests with pytest 8.3{closes}",
                work.assignee,
                lambda files: {
                    "pyproject.toml": files["pyproject.toml"].replace("pytest>=8.0", "pytest>=8.3")
                },
            )
        elif work.title.startswith("Raise test coverage"):
            path, line = "coverage.toml", f"{work.area} = 80\n"
            self._commit(
                work.closed,
                f"Hold the coverage of {work.area} above 80 %{closes}",
                work.assignee,
                _appends(path, "[at-least]\n", line),
            )
        elif work.title.startswith("Document "):
            branch, path = f"docs/{work.area}", f"docs/about-{work.area}.md"
            page = _page_about(work)
            opened = work.closed - _BEFORE_MERGE
            self._commit(
                opened,
                f"A page about {work.area}{closes}",
                work.assignee,
                _writes({path: page}),
                branch=branch,
            )
            title = f"A page about {work.area} for new colleagues"
            text = f"What I would have liked to know in my first week.\n\nThe page is `{path}`."
            request = self._request(work.assignee, title, branch, opened, "merged", text, work)
            self._merge(request, work.closed)

    def _runbook(self) -> None:
        for incident in self.world.incidents:
            if incident.product == self.product.name:
                section = (
                    f"\n## {incident.title}\n\nSeen on {incident.at:%Y-%m-%d}, severity {incident.severity}. "
                    f"Cause: {incident.cause}. Since then, {incident.change}.\n"
                )
                head = f"# Runbook of {self.product.name}\n"
                day = workday_near(incident.at.date() + timedelta(4))
                self._commit(
                    working_time(self.chance, day),
                    f"Runbook: {incident.title}",
                    incident.fixed_by,
                    _appends("docs/runbook.md", head, section),
                )

    def _proposals(self) -> None:
        """Branches of this and the last weeks: proposals for what is planned, one that was given up."""
        works = self.world.works_of(self.product)
        planned = [w for w in works if w.kind == "feature" and w.closed is None and w.sprint]
        for work in planned[:2]:
            day = workday_near(max(work.opened.date() + timedelta(1), date(2026, 2, 16)))
            when = working_time(self.chance, min(day, date(2026, 2, 27)))
            slug = slug_of(work.title)
            page = _proposal(work)
            self._commit(
                when,
                f"Proposal: {work.title}",
                work.assignee,
                _writes({f"docs/proposals/{slug}.md": page}),
                branch=f"proposal/{slug}",
            )
            text = f"How {work.title_in_text} could work. Comments are welcome until planning."
            self._request(
                work.assignee, f"Proposal: {work.title}", f"proposal/{slug}", when, "opened", text, work
            )
        declined = [w for w in works if w.declined and w.closed and w.kind == "feature"]
        for work in declined[:1]:
            assert work.closed is not None
            when = work.closed - timedelta(hours=3)
            slug = slug_of(work.title)
            page = _proposal(work)
            self._commit(
                when, f"Sketch: {work.title}", work.assignee, _writes({f"docs/sketches/{slug}.md": page}),
                branch=f"sketch/{slug}",
            )  # fmt: skip
            text = "Only to look at; not meant to be merged as it is."
            self._request(
                work.assignee, f"Sketch: {work.title}", f"sketch/{slug}", when, "closed", text, work
            )

    # Playing it

    def _play(self) -> tuple[tuple[CommitOverlay, ...], Files]:
        main: Files = {}
        branches: dict[str, Files] = {}
        commits = []
        for event in sorted(self.events, key=lambda event: event.at):
            if event.branch:
                files = branches[event.branch] = event.edit(dict(main))
            elif event.merges:
                main.update(branches[event.merges])
                files = {}
            else:
                files = {path: text for path, text in event.edit(main).items() if main.get(path) != text}
                main.update(files)
            commits.append(
                CommitOverlay.model_validate(
                    {
                        "message": event.message,
                        "from": event.author,
                        "at": event.at,
                        "branch": event.branch or None,
                        "merges": event.merges or None,
                        "files": files,
                        "tag": event.tag or None,
                    }
                )
            )
        return tuple(commits), main


def _still_open(change: Change) -> bool:
    return bool(change.step.branch) and change.work is None and change.at >= _OPEN_SINCE


def _writes(files: Files) -> Edit:
    """Files with these contents."""
    return lambda _: files


def _appends(path: str, head: str, text: str) -> Edit:
    """Text at the end of a file, which begins with `head`."""
    return lambda files: {path: files.get(path, head) + text}


def _edit_of(step: Step) -> Edit:
    def edit(files: Files) -> Files:
        changed: Files = {}
        for each in step.edits:
            changed[each.path] = each.apply(changed.get(each.path, files.get(each.path, "")))
        return changed

    return edit


def _page_about(work: Work) -> str:
    product, name = work.product, BY_NAME[work.assignee].name
    others = ", ".join(area for area in product.areas if area != work.area)
    return (
        f"# About {work.area}\n\n{product.name}: {product.tagline[0].lower()}{product.tagline[1:]}. This page is about "
        f"its {work.area}; the other areas are {others}.\n\n## Where to start\n\nRun the tests, then break "
        f"something in {work.area} on purpose and see which of them notice.\n\n## Who knows more\n\n{name}, "
        f"who wrote this page for issue #{work.number}.\n"
    )


def _proposal(work: Work) -> str:
    return (
        f"# {work.title}\n\n## Why\n\n{work.detail}\n\n## What would change\n\n* {work.area}: a first version, "
        "behind a setting that is off.\n* Tests for it, and a line in the changelog.\n\n## Open\n\n"
        f"* Who needs it first?\n* Does it fit into {work.version or 'a coming version'}?\n"
    )


def slug_of(title: str) -> str:
    """A title as part of a path."""
    return "-".join(re.findall(r"[a-z0-9]+", title.lower())[:5])
