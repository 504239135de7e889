"""The store of accounts: whoever belongs to the company has one; administrators make and delete others."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from tac_rl.office.base import AGENT_CHAT, PASSWORD
from tac_rl.office.chat.ids import fresh_id
from tac_rl.office.chat.refusals import Refused, not_allowed
from tac_rl.office.chat.times import DAY, FOUNDED, now_ms
from tac_rl.office.tenant import Tenant

GENERAL = "GENERAL"
"""The id of the channel `general`, in every Rocket.Chat."""
TOKEN_LIFE_MS = 90 * DAY
STATUSES = ("online", "away", "busy", "offline")
_NAME = re.compile(r"[0-9a-zA-Z._-]{1,64}")
_EMAIL = re.compile(r"[^@\s<>]{1,64}@[^@\s<>]{1,255}")


@dataclass(frozen=True)
class User:
    """An account. Times in milliseconds since 1970."""

    username: str
    id: str
    name: str
    email: str
    bio: str
    roles: tuple[str, ...]
    active: bool
    status: str
    status_text: str
    created: int
    updated: int

    @property
    def admin(self) -> bool:
        return "admin" in self.roles


def user_of_row(row: Any) -> User:
    return User(
        row["username"],
        row["id"],
        row["name"],
        row["email"],
        row["bio"],
        tuple(row["roles"].split()),
        bool(row["active"]),
        row["status"],
        row["status_text"],
        row["created"],
        row["updated"],
    )


def ensure_users(tenant: Tenant) -> None:
    """Everybody of the company has an account; the first ones find the channel `general`, which nobody owns.

    Cheap when nothing is to be done: it is called before every request.
    """
    missing = tenant.rows(
        "SELECT p.* FROM people p WHERE p.username NOT IN (SELECT username FROM chat_users)"
        " AND p.username NOT IN (SELECT username FROM chat_former) ORDER BY p.admin DESC, p.username"
    )
    if not missing:
        return
    with tenant.transaction():
        first = tenant.value("SELECT 1 FROM chat_users LIMIT 1") is None
        for person in missing:
            roles = "user admin" if person["admin"] else "user"
            _insert(
                tenant,
                person["username"],
                person["name"],
                person["email"],
                f"{person['title']}\n{person['bio']}".strip(),  # Rocket.Chat has no field for a title.
                roles,
                None,
                FOUNDED,
            )
        if first:
            tenant.db.execute(
                "INSERT INTO chat_rooms (id, kind, name, is_default, creator, created, updated)"
                " VALUES (?, 'channel', 'general', 1, ?, ?, ?)",
                (GENERAL, missing[0]["username"], FOUNDED, FOUNDED),
            )
        for person in missing:
            _join_defaults(tenant, person["username"], FOUNDED)


# Looking up


def by_username(tenant: Tenant, username: str) -> User | None:
    row = tenant.row("SELECT * FROM chat_users WHERE username = ?", username)
    return None if row is None else user_of_row(row)


def by_id(tenant: Tenant, user_id: str) -> User | None:
    row = tenant.row("SELECT * FROM chat_users WHERE id = ?", user_id)
    return None if row is None else user_of_row(row)


def by_any(tenant: Tenant, key: str) -> User | None:
    """By username or id."""
    return by_username(tenant, key) or by_id(tenant, key)


def require(tenant: Tenant, user_id: str | None, username: str | None) -> User:
    """The one that a request names; refused when it names nobody."""
    if not user_id and not username:
        raise Refused(
            "error-user-param-not-provided", 'The required "userId" or "username" param was not provided'
        )
    found = by_id(tenant, user_id) if user_id else by_username(tenant, username or "")
    if found is None:
        raise Refused(
            "error-invalid-user",
            'The required "userId" or "username" param provided does not match any users',
        )
    return found


# Logging in


def digest(password: str) -> str:
    """What is kept of a password; clients may send it in place of the password."""
    return hashlib.sha256(password.encode()).hexdigest()


def log_in(tenant: Tenant, account: str, password_digest: str) -> tuple[User, str] | None:
    """By username or e-mail, whose case doesn't matter: the account and a new token."""
    row = tenant.row(
        "SELECT * FROM chat_users WHERE lower(username) = lower(?1) OR lower(email) = lower(?1)"
        " ORDER BY username = ?1 DESC, username LIMIT 1",
        account,
    )
    if row is None or not row["active"] or (row["password"] or digest(PASSWORD)) != password_digest:
        return None
    user = user_of_row(row)
    return user, new_token(tenant, user)


def new_token(tenant: Tenant, user: User) -> str:
    token = fresh_id(tenant, "chat_tokens", "token", 43)
    expires = now_ms(tenant) + TOKEN_LIFE_MS
    tenant.db.execute("INSERT INTO chat_tokens VALUES (?, ?, ?)", (token, user.username, expires))
    return token


def of_token(tenant: Tenant, user_id: str, token: str) -> User | None:
    """Whose session it is; None when there is no such session, or it has expired."""
    row = tenant.row(
        "SELECT u.*, t.expires FROM chat_tokens t JOIN chat_users u ON u.username = t.username"
        " WHERE t.token = ? AND u.id = ? AND u.active",
        token,
        user_id,
    )
    if row is None or row["expires"] <= now_ms(tenant):
        return None
    return user_of_row(row)


def log_out(tenant: Tenant, token: str) -> None:
    tenant.db.execute("DELETE FROM chat_tokens WHERE token = ?", (token,))


# Changing


def create(
    tenant: Tenant,
    username: str,
    name: str,
    email: str,
    password: str,
    *,
    roles: tuple[str, ...] = ("user",),
    bio: str = "",
    active: bool = True,
    join_defaults: bool = True,
) -> User:
    """A new account."""
    _check_username(tenant, username)
    _check_email(tenant, email)
    at = now_ms(tenant)
    with tenant.transaction():
        tenant.db.execute("DELETE FROM chat_former WHERE username = ?", (username,))
        _insert(tenant, username, name, email, bio, " ".join(roles), digest(password), at)
        tenant.db.execute("UPDATE chat_users SET active = ? WHERE username = ?", (active, username))
        if join_defaults:
            _join_defaults(tenant, username, at)
    return _again(tenant, username)


def update(
    tenant: Tenant,
    user: User,
    *,
    username: str | None = None,
    name: str | None = None,
    email: str | None = None,
    password: str | None = None,
    bio: str | None = None,
    roles: tuple[str, ...] | None = None,
    active: bool | None = None,
    status: str | None = None,
    status_text: str | None = None,
) -> User:
    """Change what is given. The agent's own account keeps what checkers sign in with."""
    if user.username == AGENT_CHAT and (password, username, roles, active) != (None,) * 4:
        raise not_allowed("This account's name, password and roles can't be changed")
    if status is not None and status not in STATUSES:
        raise Refused("error-invalid-status", "Valid status types include online, away, offline, and busy.")
    if email is not None and email.lower() != user.email.lower():
        _check_email(tenant, email)
    changes: dict[str, Any] = {
        "name": name,
        "email": email,
        "bio": bio,
        "password": None if password is None else digest(password),
        "roles": None if roles is None else " ".join(roles),
        "active": active,
        "status": status,
        "status_text": status_text,
    }
    given = {column: value for column, value in changes.items() if value is not None}
    with tenant.transaction():
        given["updated"] = now_ms(tenant)
        assignments = ", ".join(f"{column} = ?" for column in given)
        tenant.db.execute(
            f"UPDATE chat_users SET {assignments} WHERE username = ?", (*given.values(), user.username)
        )
        if active is False or password is not None:
            tenant.db.execute("DELETE FROM chat_tokens WHERE username = ?", (user.username,))
        if username is not None and username != user.username:
            _rename(tenant, user.username, username)
    return _again(tenant, username or user.username)


def delete(tenant: Tenant, user: User) -> None:
    """The account with its messages and direct rooms, as Rocket.Chat's default is; others inherit its rooms."""
    if user.username == AGENT_CHAT:
        raise not_allowed("This account can't be deleted")
    if user.admin and tenant.value("SELECT count(*) FROM chat_users WHERE roles LIKE '%admin%'") == 1:
        raise Refused("error-action-not-allowed", "Leaving the app without admins is not allowed")
    with tenant.transaction() as db:
        db.execute(
            "DELETE FROM chat_rooms WHERE kind = 'direct' AND id IN"
            " (SELECT room FROM chat_members WHERE username = ?)",
            (user.username,),
        )
        _hand_over_rooms(tenant, user)
        heir = tenant.value(
            "SELECT username FROM chat_users WHERE username != ? ORDER BY roles LIKE '%admin%' DESC, username",
            user.username,
        )
        db.execute("UPDATE chat_rooms SET creator = ? WHERE creator = ?", (heir, user.username))
        db.execute("DELETE FROM chat_users WHERE username = ?", (user.username,))
        db.execute("INSERT OR IGNORE INTO chat_former VALUES (?)", (user.username,))


# Inside


def _hand_over_rooms(tenant: Tenant, user: User) -> None:
    """Whoever joined first owns what only this person owned; a room without anybody else goes."""
    for row in tenant.rows(
        "SELECT mine.room, (SELECT m.username FROM chat_members m WHERE m.room = mine.room"
        " AND m.username != mine.username ORDER BY m.joined, m.username LIMIT 1) AS heir"
        " FROM chat_members mine WHERE mine.username = ? AND mine.owner AND NOT EXISTS"
        " (SELECT 1 FROM chat_members m WHERE m.room = mine.room AND m.owner AND m.username != mine.username)",
        user.username,
    ):
        if row["heir"] is None:
            tenant.db.execute("DELETE FROM chat_rooms WHERE id = ?", (row["room"],))
        else:
            tenant.db.execute(
                "UPDATE chat_members SET owner = 1 WHERE room = ? AND username = ?",
                (row["room"], row["heir"]),
            )


def _insert(
    tenant: Tenant, username: str, name: str, email: str, bio: str, roles: str, password: str | None, at: int
) -> None:
    tenant.db.execute(
        "INSERT INTO chat_users (username, id, name, email, bio, roles, password, created, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (username, fresh_id(tenant, "chat_users"), name, email, bio, roles, password, at, at),
    )


def _join_defaults(tenant: Tenant, username: str, at: int) -> None:
    tenant.db.execute(
        "INSERT OR IGNORE INTO chat_members (room, username, owner, joined, seen, updated)"
        " SELECT id, ?, 0, ?, ?, ? FROM chat_rooms WHERE is_default AND kind = 'channel' AND NOT archived",
        (username, at, at, at),
    )


def _check_username(tenant: Tenant, username: str) -> None:
    if not _NAME.fullmatch(username) or username in ("all", "here"):
        raise Refused("error-input-is-not-a-valid-field", f"{username} is not a valid username")
    if tenant.value("SELECT 1 FROM chat_users WHERE lower(username) = lower(?)", username):
        raise Refused("error-field-unavailable", f"{username} is already in use :(")


def _check_email(tenant: Tenant, email: str) -> None:
    if not _EMAIL.fullmatch(email):
        raise Refused("error-invalid-email", f"Invalid email {email}")
    if tenant.value("SELECT 1 FROM chat_users WHERE lower(email) = lower(?)", email):
        raise Refused("error-field-unavailable", f"{email} is already in use :(")


def _rename(tenant: Tenant, old: str, new: str) -> None:
    """Tables follow by themselves; names inside JSON are changed here."""
    if old.lower() != new.lower():
        _check_username(tenant, new)
    elif not _NAME.fullmatch(new):
        raise Refused("error-input-is-not-a-valid-field", f"{new} is not a valid username")
    db = tenant.db
    db.execute("UPDATE chat_users SET username = ? WHERE username = ?", (new, old))
    db.execute("DELETE FROM chat_former WHERE username = ?", (new,))
    db.execute("INSERT OR IGNORE INTO chat_former VALUES (?)", (old,))
    for row in tenant.rows(
        "SELECT id, mentions, reactions FROM chat_messages"
        " WHERE instr(coalesce(mentions, '') || coalesce(reactions, ''), ?)",
        json.dumps(old),
    ):
        mentions = json.loads(row["mentions"] or "[]")
        for mention in mentions:
            if mention["username"] == old:
                mention["username"] = new
        reactions = json.loads(row["reactions"] or "{}")
        for reaction in reactions.values():
            reaction["usernames"] = [new if name == old else name for name in reaction["usernames"]]
        db.execute(
            "UPDATE chat_messages SET mentions = ?, reactions = ? WHERE id = ?",
            (
                json.dumps(mentions) if mentions else None,
                json.dumps(reactions) if reactions else None,
                row["id"],
            ),
        )


def _again(tenant: Tenant, username: str) -> User:
    found = by_username(tenant, username)
    assert found is not None
    return found
