"""The survey as a Markdown table, and tables in a document between two marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from tac_rl.errors import ConfigError
from tac_rl.tac.survey import Row

_POINTS = re.compile(r"\d+/\d+")


def render(rows: Sequence[Row]) -> str:
    """Totals, then one line for each package."""
    graded = [row for row in rows if _POINTS.fullmatch(row.graded)]
    earning = [row for row in graded if not row.graded.startswith("0/")]
    unmet = [row for row in graded if not row.needs]
    totals = (
        ("packages", len(rows)),
        ("load", sum(row.loads == "yes" for row in rows)),
        ("initialise here", sum(row.initialises == "yes" for row in rows)),
        ("are graded here", len(graded)),
        ("of those, need nothing that is not here", len(unmet)),
        ("give points for doing nothing", len(earning)),
        ("need Docker", _needing(rows, "Docker")),
        ("need an LLM judge", _needing(rows, "LLM judge")),
        ("need colleagues played by an LLM", _needing(rows, "LLM colleagues")),
        ("name data that only TAC's images hold", _needing(rows, "TAC's")),
        ("need the internet", _needing(rows, "internet")),
        ("look at the attempt's own machine when grading", _needing(rows, "the attempt's own machine")),
    )
    lines = ["| packages | |", "|---|---|", *(f"| {what} | {count} |" for what, count in totals), ""]
    lines += [
        "| package | services | loads | initialises | graded here | needs |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row.name,
            ", ".join(row.dependencies),
            row.loads,
            row.initialises or "-",
            row.graded or "-",
            "; ".join(row.needs),
        )
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def write(path: Path, table: str, section: str) -> None:
    """Put a table into a document between the two marks of its section, replacing the one that is there."""
    begin_mark, end_mark = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: could not be read: {error}") from None
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ConfigError(
            f"{path}: must hold the lines {begin_mark} and {end_mark}, between which the table goes"
        )
    path.write_text(f"{before}{begin_mark}\n{table}{end_mark}{after}", encoding="utf-8")


def _needing(rows: Sequence[Row], what: str) -> int:
    return sum(any(need.startswith(what) for need in row.needs) for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
