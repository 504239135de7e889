"""What Python files import, read from their text: some of TAC's parse on newer Pythons only."""

import re
from collections.abc import Iterable

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b|import[ \t]+([\w., \t]+))", re.M
)


def imported(sources: Iterable[str]) -> frozenset[str]:
    """The top-level names of all modules that these sources import absolutely."""
    found: set[str] = set()
    for source in sources:
        for module, modules in _IMPORT.findall(_without_comments(source)):
            names = [module] if module else [name.split(" as ")[0] for name in modules.split(",")]
            found.update(name.strip().partition(".")[0] for name in names)
    return frozenset(filter(str.isidentifier, found))


def _without_comments(source: str) -> str:
    return re.sub(r"#.*", "", source)
