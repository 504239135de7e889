"""Who may do what: Rocket.Chat's default permissions."""

from tac_rl.office.chat import rooms
from tac_rl.office.chat.refusals import not_allowed, unauthorized
from tac_rl.office.chat.rooms import Membership, Room
from tac_rl.office.chat.users import User
from tac_rl.office.tenant import Tenant


def require_admin(user: User) -> None:
    if not user.admin:
        raise unauthorized()


def may_read(tenant: Tenant, user: User, room: Room) -> bool:
    """Channels are everybody's; groups and direct rooms are their members', administrators are no exception."""
    return room.kind == "channel" or rooms.membership(tenant, room.id, user.username) is not None


def require_read(tenant: Tenant, user: User, room: Room | None) -> Room:
    if room is None or not may_read(tenant, user, room):
        raise not_allowed("Not Allowed")
    return room


def may_own(tenant: Tenant, user: User, room: Room) -> bool:
    """Archive it, delete it, give roles in it."""
    mine = rooms.membership(tenant, room.id, user.username)
    return user.admin or bool(mine and mine.owner)


def may_moderate(tenant: Tenant, user: User, room: Room) -> bool:
    """Edit it, invite and remove people, change others' messages."""
    return _moderates(user, rooms.membership(tenant, room.id, user.username))


def may_write(user: User, room: Room, mine: Membership | None) -> bool:
    """In a room that only some may write in."""
    return not room.read_only or _moderates(user, mine)


def _moderates(user: User, mine: Membership | None) -> bool:
    return user.admin or bool(mine and (mine.owner or mine.moderator))
