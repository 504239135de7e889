"""People as the forge knows them: names, numbers, passwords, tokens."""

import hmac
import sqlite3
from datetime import timedelta

from tac_rl.office.base import AGENT_FORGE, FORGE_TOKEN, PASSWORD, Person
from tac_rl.office.forge.clock import stamp
from tac_rl.office.tenant import Tenant

AGENT = "theagentcompany"
"""The office's name of the account that the forge calls `root`."""
JOINED = "2024-01-08T09:00:00.000Z"
"""When everybody's account was made."""
SESSION = timedelta(days=14)
TOKEN = timedelta(hours=2)


def shown(username: str) -> str:
    """The forge's name of somebody."""
    return AGENT_FORGE if username == AGENT else username


def known(name: str) -> str:
    """The office's name behind a name in the forge."""
    folded = name.strip().lower()
    return AGENT if folded == AGENT_FORGE else folded


def find_person(tenant: Tenant, name: str) -> Person | None:
    """By their name in the forge (or e-mail), case ignored."""
    person = tenant.person(known(name))
    if person is None and "@" in name:
        username = tenant.value("SELECT username FROM people WHERE email = ? COLLATE NOCASE", name.strip())
        person = None if username is None else tenant.person(username)
    return person


def person_of_id(tenant: Tenant, user_id: int) -> Person | None:
    number_people(tenant)
    username = tenant.value("SELECT username FROM forge_users WHERE id = ?", user_id)
    return None if username is None else tenant.person(username)


def id_of(tenant: Tenant, username: str) -> int:
    """Somebody's number; 0 for who is not (or no longer) there."""
    found = tenant.value("SELECT id FROM forge_users WHERE username = ?", username)
    if found is None:
        number_people(tenant)
        found = tenant.value("SELECT id FROM forge_users WHERE username = ?", username)
    return int(found or 0)


def number_people(tenant: Tenant) -> None:
    """Number everybody who has no number yet: `root` is 1, the others follow by name."""
    new = tenant.rows(
        "SELECT username FROM people WHERE username NOT IN (SELECT username FROM forge_users)"
        " ORDER BY username != ?, username",
        AGENT,
    )
    for row in new:
        tenant.db.execute(
            "INSERT INTO forge_users VALUES ((SELECT max(coalesce(max(id), 0), ?) + 1 FROM forge_users), ?, ?)",
            (0 if row["username"] == AGENT else 1, row["username"], JOINED),
        )


def list_people(tenant: Tenant, *, search: str = "", name: str = "") -> list[sqlite3.Row]:
    """Rows of people with their `id`, newest account first as GitLab lists them."""
    number_people(tenant)
    where, arguments = ["1"], []
    if name:
        where.append("p.username = ?")
        arguments.append(known(name))
    if search:
        where.append(
            "(p.name LIKE ? ESCAPE '\\' OR p.username LIKE ? ESCAPE '\\' OR p.email = ? OR p.username = ?)"
        )
        arguments += [contains(search), contains(search), search, known(search)]
    return tenant.rows(
        "SELECT p.*, u.id, u.created_at FROM people p JOIN forge_users u USING (username)"
        f" WHERE {' AND '.join(where)} ORDER BY u.id DESC",
        *arguments,
    )


def contains(text: str) -> str:
    """A LIKE pattern (escaped by a backslash) for texts with `text` in them."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


# Credentials


def sign_in(tenant: Tenant, login: str, password: str) -> Person | None:
    """Whose account and password these are; a token serves as password, as it does for git over HTTP."""
    if same(password, PASSWORD):
        return find_person(tenant, login)
    return person_of_token(tenant, password)


def person_of_token(tenant: Tenant, token: str) -> Person | None:
    """Whose access token this is, unless it expired."""
    if same(token, FORGE_TOKEN):
        return tenant.person(AGENT)
    row = tenant.row("SELECT username, kind, expires_at FROM forge_tokens WHERE token = ?", token)
    if row is None or row["kind"] != "oauth" or row["expires_at"] <= stamp(tenant.now()):
        return None
    return tenant.person(row["username"])


def person_of_session(tenant: Tenant, session: str) -> Person | None:
    """Who is signed in with this cookie, unless the session expired."""
    row = tenant.row(
        "SELECT username, expires_at FROM forge_tokens WHERE token = ? AND kind = 'session'", session
    )
    if row is None or row["expires_at"] <= stamp(tenant.now()):
        return None
    return tenant.person(row["username"])


def new_token(tenant: Tenant, username: str, kind: str) -> str:
    """A new `oauth` token or `session` for somebody."""
    token = tenant.new_id(40)
    now = tenant.now()
    ends = now + (SESSION if kind == "session" else TOKEN)
    tenant.db.execute(
        "INSERT INTO forge_tokens VALUES (?, ?, ?, ?, ?)", (token, username, kind, stamp(now), stamp(ends))
    )
    return token


def end_session(tenant: Tenant, session: str) -> None:
    tenant.db.execute("DELETE FROM forge_tokens WHERE token = ? AND kind = 'session'", (session,))


def same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())
