"""The `office` section: the company that attempts take place in."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from tac_rl.config.base import Section


class ColleaguesSection(Section):
    """Who thinks for the colleagues that a task's scenario gives."""

    mind: Literal["rules", "llm", "engine"] = "rules"
    """`rules`: deterministic answers out of the scenario's facts. `llm`: a language model that plays them.
    `engine`: the run's own engine plays them, with the base model; the company then needs no other service."""
    base_url: str | None = None
    """Of an OpenAI-compatible endpoint, ending in `/v1`, for `mind: llm`."""
    model: str | None = None
    """The model's name there."""
    api_key_file: Path | None = None
    """A file that holds the endpoint's key, where it wants one."""
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(200, ge=1)
    seconds: float = Field(60.0, gt=0)
    """Time one answer may take; after that the colleague stays silent."""


class JudgeSection(Section):
    """The language model that judges in those of TAC's evaluators that ask one."""

    base_url: str
    """Of an OpenAI-compatible endpoint, ending in `/v1`."""
    model: str
    """The model's name there."""
    api_key_file: Path | None = None
    """A file that holds the endpoint's key, where it wants one. No sandbox sees the key."""
    seconds: float = Field(120.0, gt=0)
    """Time one judgement may take; after that the grading has failed."""


class ExternalSection(Section):
    """Where a real TAC stack runs (`office.mode: external`)."""

    host: str = "localhost"
    chat: int = 3000
    forge: int = 8929
    tracker: int = 8091
    drive: int = 8092
    control: int = 2999
    reset_seconds: float = Field(900.0, gt=0)
    """Time that the stack's services may take to be reset before an attempt."""


class OfficeSection(Section):
    """The company's services. Only task packages that name services get a tenant."""

    mode: Literal["embedded", "external"] = "embedded"
    """`embedded`: a private company for every attempt. `external`: one real TAC stack, one attempt at a time."""
    socket: Path | None = None
    """Unix socket of an office that runs as a service (`tac-rl serve-part office`), for `mode: embedded`; None: a
    process of our own. `snapshots` and `api_key_file` are then paths that the service sees."""
    snapshots: Path | None = None
    """Folder of snapshots. Default: `tac-rl/snapshots` in the user's cache folder."""
    memory_mb: int = Field(1024, ge=0)
    """Tenants live in memory (/dev/shm) where that has so much room, else in the runtime folder on disk. A tenant
    of the default company takes 3 MB."""
    most_processes: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1)
    """A process serves 16 tenants or more on one core; another is started for more tenants (some 90 MB each), up to so
    many. Default: one for each of the machine's cores, at most 4."""
    start_seconds: float = Field(120.0, gt=0)
    """Time the office may take to start, and a snapshot to be made for the first time."""
    request_seconds: float = Field(30.0, gt=0)
    """Time a tenant may take to be made, opened, compared or removed."""
    record_changes: bool = False
    """Whether each attempt's trajectory says what it changed in the company (some 50 ms an attempt)."""
    colleagues: ColleaguesSection = ColleaguesSection()
    judge: JudgeSection | None = None
    """None: packages whose evaluator asks a language model are refused."""
    external: ExternalSection = ExternalSection()
