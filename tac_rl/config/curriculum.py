"""The curriculum's section of the config."""

from pydantic import Field

from tac_rl.config.base import Section


class CurriculumSection(Section):
    """How packages are drawn; see `tac_rl/curriculum/sampling.py` for the formula."""

    enabled: bool = True
    """False draws every package equally often."""
    half_life: float = Field(6.0, gt=0)
    """Groups of a package after which an observation counts half."""
    prior_variance: float = Field(0.08, ge=0)
    """Variance of the partial score assumed before anything was observed."""
    prior_groups: float = Field(1.0, gt=0)
    """How many observed groups the prior is worth."""
    staleness_bonus: float = Field(0.02, ge=0)
    """Added per iteration since the package was last drawn (as variance)."""
    uniform_share: float = Field(0.2, ge=0, le=1)
    """Share of the draws that ignore the weights."""
    backoff: float = Field(0.5, gt=0, le=1)
    """Factor on the weight for each group in a row without variance (always solved, or never)."""
    backoff_floor: float = Field(0.1, ge=0, le=1)
    """The smallest factor that backing off can reach."""
    unlock_score: float = Field(0.3, ge=0, le=1)
    """A difficulty level opens when the packages of the level below reach this mean score."""
    unlock_after: int = Field(4, ge=0)
    """A level opens after so many iterations at the latest, whatever the scores (0: all are open)."""
