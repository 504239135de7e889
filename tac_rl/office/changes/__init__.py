"""What did an attempt change? The difference of two offices, as data and in sentences."""

from tac_rl.office.changes.base import Changes, Commit, FileChange, RefChange, RowChange
from tac_rl.office.changes.diff import diff
from tac_rl.office.changes.sentences import summary

__all__ = ["Changes", "Commit", "FileChange", "RefChange", "RowChange", "diff", "summary"]
