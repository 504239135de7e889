"""The drive's section: every document, in the folders that people name in the chat."""

from collections.abc import Iterator

from tac_rl.office.overlay import DriveOverlay
from tac_rl.office.seeds.documents_finance import finance_files
from tac_rl.office.seeds.documents_people import people_files
from tac_rl.office.seeds.documents_work import work_files
from tac_rl.office.seeds.meetings import Meeting
from tac_rl.office.seeds.money import Money
from tac_rl.office.seeds.world import World

ROOT = "Documents"
_README = """The drive of The Agent Company

Engineering   incidents, roadmap, on-call roster
Products      a folder a product, with numbers of every week
Design        usability tests
Meetings      notes, one file a meeting
People        employees, leave, policies, hiring, survey (salaries: people operations and finance only)
Finance       budgets, invoices, expenses, forms
Sales         customers, prices, material, answers for security questionnaires

Nobody keeps the only copy of something on a laptop.
"""


def drive_section(world: World, meetings: tuple[Meeting, ...], money: Money) -> DriveOverlay:
    files = dict(sorted(_files(world, meetings, money)))
    return DriveOverlay.model_validate(
        {"files": {f"{ROOT}/{path}": _readable(path, content) for path, content in files.items()}}
    )


def _readable(path: str, content: bytes) -> str | bytes:
    return content.decode() if path.endswith((".csv", ".md", ".txt")) else content


def _files(world: World, meetings: tuple[Meeting, ...], money: Money) -> Iterator[tuple[str, bytes]]:
    yield "README.txt", _README.encode()
    yield from people_files(world)
    yield from finance_files(world, money)
    yield from work_files(world, meetings)
