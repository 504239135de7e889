"""An overlay: state to be laid over a snapshot, as YAML or as plain Python data. Errors name the line.

The default company itself is one big overlay over an empty office (`seeds/`), and a task package's
`Made.office` is a small one. What exists is extended: a channel or project that is there gets the
messages, members or issues named here, and fields that are given replace what was there.
"""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tac_rl.config.base import Section

Username = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""`first_last`; `theagentcompany` is the agent's own account, in every service."""
When = Annotated[
    datetime | None,
    Field(description="ISO 8601, UTC where no zone is given; default: a minute after what came before"),
]


class PersonOverlay(Section):
    """Somebody of the company; a new one gets accounts in every service."""

    username: Username
    name: str
    email: str | None = None
    """Default: `first.last@agentcompany.com`."""
    title: str = ""
    team: str = ""
    bio: str = ""
    admin: bool = False


# The chat


class MessageOverlay(Section):
    author: Username = Field(alias="from")
    text: str
    at: When = None
    reactions: dict[str, tuple[Username, ...]] = Field(default_factory=dict)
    """Emoji name without colons -> who."""
    replies: tuple["MessageOverlay", ...] = ()
    """Of its thread."""


class ChannelOverlay(Section):
    name: str
    private: bool = False
    topic: str = ""
    description: str = ""
    owner: Username = "theagentcompany"
    moderators: tuple[Username, ...] = ()
    members: tuple[Username, ...] | Literal["everyone"] = ()
    messages: tuple[MessageOverlay, ...] = ()


class DirectOverlay(Section):
    """A conversation of two (or more) people."""

    between: tuple[Username, ...] = Field(min_length=2)
    messages: tuple[MessageOverlay, ...] = ()


class ChatOverlay(Section):
    channels: tuple[ChannelOverlay, ...] = ()
    direct: tuple[DirectOverlay, ...] = ()


# The forge


class NoteOverlay(Section):
    author: Username = Field(alias="from")
    text: str
    at: When = None


class CommitOverlay(Section):
    """One commit. Its files are written over those of its branch's last commit."""

    message: str
    author: Username = Field("theagentcompany", alias="from")
    at: When = None
    branch: str | None = None
    """Default: the project's default branch. A new branch starts at the default branch's tip."""
    files: dict[str, str] = Field(default_factory=dict)
    """Path -> content; text, or `base64:...` for bytes."""
    delete: tuple[str, ...] = ()
    merges: str | None = None
    """A branch that this commit merges, as its second parent; such a commit has no files of its own."""
    tag: str | None = None
    """A tag for this commit."""


class ForgeIssueOverlay(Section):
    title: str
    iid: int | None = Field(None, ge=1)
    """Its number in the project; default: the next."""
    description: str = ""
    state: Literal["opened", "closed"] = "opened"
    author: Username = Field("theagentcompany", alias="from")
    assignees: tuple[Username, ...] = ()
    labels: tuple[str, ...] = ()
    milestone: str | None = None
    at: When = None
    notes: tuple[NoteOverlay, ...] = ()


class MergeRequestOverlay(Section):
    title: str
    source_branch: str
    target_branch: str | None = None
    iid: int | None = Field(None, ge=1)
    description: str = ""
    state: Literal["opened", "closed", "merged"] = "opened"
    author: Username = Field("theagentcompany", alias="from")
    assignees: tuple[Username, ...] = ()
    reviewers: tuple[Username, ...] = ()
    labels: tuple[str, ...] = ()
    milestone: str | None = None
    remove_source_branch: bool = False
    """Of a merged one: its branch is gone."""
    at: When = None
    notes: tuple[NoteOverlay, ...] = ()


class LabelOverlay(Section):
    name: str
    color: str = "#428BCA"
    description: str = ""


class MilestoneOverlay(Section):
    title: str
    description: str = ""
    due: str | None = None
    """A date, YYYY-MM-DD."""
    state: Literal["active", "closed"] = "active"


class PipelineOverlay(Section):
    ref: str | None = None
    status: Literal["success", "failed", "running", "pending", "canceled"] = "success"
    at: When = None


AccessLevel = Literal["guest", "reporter", "developer", "maintainer", "owner"]


class ForgeProjectOverlay(Section):
    path: str
    """`group/name`; TAC's are in the group `root`."""
    description: str = ""
    default_branch: str = "main"
    visibility: Literal["private", "internal", "public"] = "public"
    members: dict[Username, Literal["guest", "reporter", "developer", "maintainer", "owner"]] = Field(
        default_factory=dict
    )
    commits: tuple[CommitOverlay, ...] = ()
    protected_branches: tuple[str, ...] = ()
    labels: tuple[LabelOverlay, ...] = ()
    milestones: tuple[MilestoneOverlay, ...] = ()
    issues: tuple[ForgeIssueOverlay, ...] = ()
    merge_requests: tuple[MergeRequestOverlay, ...] = ()
    wiki: dict[str, str] = Field(default_factory=dict)
    """Title -> Markdown."""
    pipelines: tuple[PipelineOverlay, ...] = ()


class ForgeOverlay(Section):
    projects: tuple[ForgeProjectOverlay, ...] = ()


# The tracker


class TrackerIssueOverlay(Section):
    title: str
    id: str | None = None
    """A UUID; default: a new one."""
    number: int | None = Field(None, ge=1)
    """Its sequence number in the project; default: the next."""
    description: str = ""
    state: str | None = None
    """Name of a state of the project; default: its default state."""
    priority: Literal["urgent", "high", "medium", "low", "none"] = "none"
    author: Username = Field("theagentcompany", alias="from")
    assignees: tuple[Username, ...] = ()
    labels: tuple[str, ...] = ()
    cycle: str | None = None
    """Name of the cycle it is planned in."""
    module: str | None = None
    start: str | None = None
    due: str | None = None
    at: When = None
    comments: tuple[NoteOverlay, ...] = ()


class StateOverlay(Section):
    name: str
    group: Literal["backlog", "unstarted", "started", "completed", "cancelled"]
    color: str = "#60646C"
    default: bool = False
    id: str | None = None


class CycleOverlay(Section):
    """A sprint."""

    name: str
    start: str | None = None
    end: str | None = None
    description: str = ""
    id: str | None = None


class ModuleOverlay(Section):
    name: str
    description: str = ""
    status: Literal["backlog", "planned", "in-progress", "paused", "completed", "cancelled"] = "planned"
    id: str | None = None


class TrackerProjectOverlay(Section):
    name: str
    identifier: str | None = Field(None, max_length=12)
    """The prefix of its issues' numbers; default: from the name's first letters."""
    id: str | None = None
    description: str = ""
    lead: Username | None = None
    members: tuple[Username, ...] | Literal["everyone"] = "everyone"
    states: tuple[StateOverlay, ...] = ()
    """None for a new project means Plane's five: Backlog, Todo, In Progress, Done, Cancelled."""
    labels: tuple[LabelOverlay, ...] = ()
    cycles: tuple[CycleOverlay, ...] = ()
    modules: tuple[ModuleOverlay, ...] = ()
    issues: tuple[TrackerIssueOverlay, ...] = ()


class TrackerOverlay(Section):
    accounts: dict[Username, str] = Field(default_factory=dict)
    """UUIDs of people's accounts, where a package names one; default: derived from the username."""
    projects: tuple[TrackerProjectOverlay, ...] = ()


# The drive


def _bytes_as_text(content: Any) -> Any:
    return "base64:" + b64encode(content).decode() if isinstance(content, bytes) else content


class ShareOverlay(Section):
    """A public link."""

    path: str
    token: str | None = None


class DriveOverlay(Section):
    files: dict[str, Annotated[str, BeforeValidator(_bytes_as_text)]] = Field(default_factory=dict)
    """Path -> content: text, or `base64:...` (which Python's bytes become). Folders are made as needed."""
    folders: tuple[str, ...] = ()
    shares: tuple[ShareOverlay, ...] = ()


# Colleagues


Phrase = Annotated[str, Field(pattern=r"\w")]


class FactOverlay(Section):
    """Something that a colleague knows."""

    about: tuple[Phrase, ...] = Field(min_length=1)
    """Words or phrases; a question that holds one of them (as whole words, case ignored) is about this."""
    answer: str = ""
    """What they say; may be empty where they `refer_to` somebody."""
    needs: tuple[Phrase, ...] = ()
    """Words of which at least one must have been said to them before they share it; else they `ask` back."""
    ask: str = ""
    refer_to: Username | None = None
    """Instead of an answer they send the asker to this colleague; `answer` may then say how."""

    @model_validator(mode="after")
    def _says_something(self) -> "FactOverlay":
        if not self.answer and self.refer_to is None:
            raise ValueError("a fact needs an `answer`, or somebody to `refer_to`")
        return self


class StatementOverlay(Section):
    """A sentence that a colleague may say when a question shares its words (TAC: out of extra_info)."""

    text: str
    topic: str = ""
    """What a question may be about instead of the sentence's own words."""


class ColleagueOverlay(Section):
    """How somebody answers in this office. Never readable through any service."""

    facts: tuple[FactOverlay, ...] = ()
    statements: tuple[StatementOverlay, ...] = ()
    """Tried by the rules where no fact fits."""
    persona: str = ""
    """For an LLM: who they are and how they talk (TAC: extra_info)."""
    goal: str = ""
    """For an LLM: what they want of the conversation (TAC: strategy_hint and clarification_hint)."""
    greeting: str = ""
    """Sent to the agent, unasked, when the attempt begins."""
    fallback: str | None = None
    """What they say when nothing fits; empty: they stay silent. Default: a short excuse."""


class Overlay(Section):
    """State to be laid over a snapshot."""

    people: tuple[PersonOverlay, ...] = ()
    chat: ChatOverlay = ChatOverlay()
    forge: ForgeOverlay = ForgeOverlay()
    tracker: TrackerOverlay = TrackerOverlay()
    drive: DriveOverlay = DriveOverlay()
    colleagues: dict[Username, ColleagueOverlay] = Field(default_factory=dict)


def parse_overlay(document: Any, source: str) -> Overlay:
    """A plain document (as YAML or Python gives it); `ConfigError` names the field."""
    from tac_rl.config.loading import parse_config

    return parse_config(Overlay, document, source)
