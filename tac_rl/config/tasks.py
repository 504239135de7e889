"""The tasks section of the config: which packages a run trains on, and which it only evaluates."""

from pathlib import Path

from pydantic import Field

from tac_rl.config.base import Section


class TacSection(Section):
    """How unmodified packages of TheAgentCompany run (docs/tac.md)."""

    environment: Path | None = None
    """The Python environment of their evaluators, made by `python -m tac_rl.tac environment`. Default: `tac-rl/tac`
    in the user's cache folder."""
    snapshot: str = "quiet"
    """The state of the office that they start from. `quiet`: the company, in whose chat nobody has written yet, as in
    TAC, where some evaluators count any message. One imported from a running TAC stack holds TAC's data."""
    grading_seconds: float = Field(600.0, gt=0)
    """Time that an evaluator, or one of a package's initialising scripts, may take."""


class TasksSection(Section):
    """Which task packages the run uses. Names may be patterns, such as `finance-*`."""

    path: Path = Path("tasks")
    """The folder that holds the packages."""
    include: tuple[str, ...] = ()
    """Packages to use; empty means all."""
    exclude: tuple[str, ...] = ()
    """Packages to leave out altogether."""
    heldout: tuple[str, ...] = ()
    """Packages that are evaluated and never trained on."""
    max_difficulty: int = Field(3, ge=1, le=5)
    """Packages above this difficulty are left out."""
    tac: TacSection = TacSection()
