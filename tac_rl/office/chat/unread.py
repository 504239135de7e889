"""What somebody has not read yet, counted when it is asked for."""

from dataclasses import dataclass

from tac_rl.office.chat.messages import MENTIONING
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant


@dataclass(frozen=True)
class Unread:
    messages: int = 0
    mentions: int = 0


def unread_of(tenant: Tenant, user: User) -> dict[str, Unread]:
    """Room id -> what others wrote there since this person last read it; rooms without any are left out."""
    rows = tenant.rows(
        f"SELECT m.room, count(*) AS messages, total({MENTIONING}) AS mentions"
        " FROM chat_members mine CROSS JOIN chat_messages m ON m.room = mine.room AND m.at > mine.seen"
        " WHERE mine.username = ? AND m.author != ? AND m.kind = '' AND (m.thread IS NULL OR m.shown)"
        " GROUP BY m.room",
        user.id,
        user.username,
        user.username,
    )
    return {row["room"]: Unread(row["messages"], int(row["mentions"])) for row in rows}
