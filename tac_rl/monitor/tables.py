"""Tables of the report."""

from collections.abc import Sequence

from tac_rl.monitor.text import escaped


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, wide: bool = False) -> str:
    """A table whose first `words` columns are text and whose others are numbers; `wide`: the last one is a plot."""

    def kind(n: int) -> str:
        return "task" if n < words or (wide and n == len(head) - 1) else "n"

    top = "".join(f'<th class="{kind(n)}">{escaped(name)}</th>' for n, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind(n)}">{cell}</td>' for n, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    name = ' class="wide"' if wide or words > 1 else ""
    return f"<table{name}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
