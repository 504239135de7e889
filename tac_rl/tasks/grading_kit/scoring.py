"""TAC's scoring: checkpoints with integer credit, and the strategies that add them up.

Runs in the grading sandbox, where evaluators import it as `scoring`; the host imports nothing from it.
Interface and semantics are those of TheAgentCompany's `scoring.py`, so that its evaluators run unchanged.
Deliberately without `dataclasses` and `typing`: their import would cost a third of a grading.
"""


class Checkpoint:
    """`result` of `total` points. TAC's evaluators may give booleans, which count as 0 and 1."""

    def __init__(self, total, result):
        for name, value in (("total", total), ("result", result)):
            if not isinstance(value, int):
                raise TypeError(f"Checkpoint {name} must be an integer, got {value!r}")
            if value < 0:
                raise ValueError(f"Checkpoint {name} must not be negative, got {value!r}")
        if result > total:
            raise ValueError(f"Checkpoint result {result!r} must not exceed its total {total!r}")
        self.total = total
        self.result = result

    def __eq__(self, other):
        return isinstance(other, Checkpoint) and (self.total, self.result) == (other.total, other.result)

    __hash__ = None

    def __repr__(self):
        return f"Checkpoint(total={self.total!r}, result={self.result!r})"


class Result:
    """What `grade_checkpoints` returns. Without a strategy the final score is the plain sum."""

    def __init__(self, checkpoints, scoring_strategy=None):
        if not isinstance(checkpoints, list) or not all(isinstance(c, Checkpoint) for c in checkpoints):
            raise TypeError(f"checkpoints must be a list of Checkpoint, got {checkpoints!r}")
        if scoring_strategy is not None and not callable(scoring_strategy):
            raise TypeError(f"scoring_strategy must be callable, got {scoring_strategy!r}")
        self.checkpoints = checkpoints
        self.scoring_strategy = scoring_strategy

    @property
    def final_score(self):
        """`{"total": int, "result": int}`; with a bonus, `result` may exceed the checkpoints' sum."""
        return (self.scoring_strategy or plain_sum)(self.checkpoints)

    def to_dict(self):
        return {
            "checkpoints": [{"total": c.total, "result": c.result} for c in self.checkpoints],
            "final_score": self.final_score,
        }

    @classmethod
    def from_dict(cls, data, scoring_strategy=None):
        """The inverse of `to_dict`; the strategy isn't in the data and must be given again."""
        checkpoints = [Checkpoint(total=c["total"], result=c["result"]) for c in data["checkpoints"]]
        return cls(checkpoints, scoring_strategy)


def _full(checkpoint):
    return checkpoint.result == checkpoint.total


def plain_sum(checkpoints):
    return {"total": sum(c.total for c in checkpoints), "result": sum(c.result for c in checkpoints)}


def _with_first_credited(checkpoints):
    score = plain_sum(checkpoints)
    score["result"] += checkpoints[0].total - checkpoints[0].result
    return score


def bonus_for_completing_final(checkpoints):
    """Full credit for everything where the last checkpoint is complete."""
    score = plain_sum(checkpoints)
    if checkpoints and _full(checkpoints[-1]):
        score["result"] = score["total"]
    return score


def bonus_for_completing_any(checkpoints):
    """Full credit for the first checkpoint where any checkpoint is complete."""
    if any(_full(c) for c in checkpoints):
        return _with_first_credited(checkpoints)
    return plain_sum(checkpoints)


def bonus_for_completing_any_of_given_checkpoints(given_checkpoints):
    """A strategy: full credit for the first checkpoint where any of the given ones (from 1) is complete."""

    def strategy(checkpoints):
        if any(not 0 < number <= len(checkpoints) for number in given_checkpoints):
            raise ValueError(f"there are {len(checkpoints)} checkpoints, not {given_checkpoints!r} (from 1)")
        if any(_full(checkpoints[number - 1]) for number in given_checkpoints):
            return _with_first_credited(checkpoints)
        return plain_sum(checkpoints)

    return strategy
