"""One page of what a query finds."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from tac_rl.office.tenant import Tenant


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted: pages count from 1."""

    number: int = 1
    size: int = 20

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


EVERYTHING = Page(1, 1_000_000)


@dataclass(frozen=True)
class Found:
    """A page of rows, and how many there are on all pages."""

    rows: list[sqlite3.Row]
    total: int


def select_page(
    tenant: Tenant, columns: str, body: str, arguments: Sequence[object], order: str, page: Page
) -> Found:
    """`SELECT columns body ORDER BY order`, one page of it; `body` begins with FROM."""
    rows = tenant.rows(
        f"SELECT {columns} {body} ORDER BY {order} LIMIT ? OFFSET ?", *arguments, page.size, page.offset
    )
    if len(rows) < page.size and (rows or page.number == 1):
        return Found(rows, page.offset + len(rows))
    return Found(rows, int(tenant.value(f"SELECT count(*) {body}", *arguments)))
