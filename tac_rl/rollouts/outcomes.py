"""How rollouts end, and what follows from each ending: one table, read by everything else."""

from dataclasses import dataclass
from enum import StrEnum

from tac_rl.agents.base import Ending


class Outcome(StrEnum):
    """How a rollout ended."""

    FINISHED = "finished"
    """The agent said that it was done."""
    OUT_OF_TURNS = "out_of_turns"
    OUT_OF_CONTEXT = "out_of_context"
    TIMED_OUT = "timed_out"
    """The agent's own time limit; commands have limits of their own."""
    STUCK = "stuck"
    """The agent's harness stopped it for repeating itself; runs of before 2026-11-27 call that `agent_failed`."""
    AGENT_FAILED = "agent_failed"
    """Malformed calls past the limit."""
    INFRASTRUCTURE_FAILED = "infrastructure_failed"
    """A part of ours failed: the attempt says nothing about the policy."""


@dataclass(frozen=True)
class Consequences:
    """What is done with a rollout after it ended."""

    graded: bool
    trained_on: bool
    retried: bool
    """Attempted again, within the config's bound."""
    counted: bool
    """Seen by the curriculum and by evaluations."""


_THE_POLICYS_DOING = Consequences(graded=True, trained_on=True, retried=False, counted=True)
_OURS = Consequences(graded=False, trained_on=False, retried=True, counted=False)

CONSEQUENCES: dict[Outcome, Consequences] = {
    Outcome.FINISHED: _THE_POLICYS_DOING,
    # Cut-off attempts are graded on what they left behind. Retrying them would bias the score, and not
    # training on them would teach that running out of turns costs nothing.
    Outcome.OUT_OF_TURNS: _THE_POLICYS_DOING,
    Outcome.OUT_OF_CONTEXT: _THE_POLICYS_DOING,
    # Time depends on the machine's load as much as on the policy: graded and counted, never trained on.
    Outcome.TIMED_OUT: Consequences(graded=True, trained_on=False, retried=False, counted=True),
    Outcome.STUCK: _THE_POLICYS_DOING,
    Outcome.AGENT_FAILED: _THE_POLICYS_DOING,
    Outcome.INFRASTRUCTURE_FAILED: _OURS,
}


def outcome_of(ending: Ending) -> Outcome:
    """The outcome of a rollout whose agent stopped with `ending`."""
    return Outcome(ending.value)
