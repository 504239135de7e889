"""Who is asking: HTTP Basic or the session's cookie."""

import base64
import binascii
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from tac_rl.office.drive import store
from tac_rl.office.tenant import Tenant

SESSION_COOKIE = "oc_sessionPassphrase"


def username_of(tenant: Tenant, headers: Mapping[str, str]) -> str | None:
    """The account that the headers prove; None without credentials and for wrong ones."""
    authorization = headers.get("authorization")
    if authorization is not None:
        credentials = basic(authorization)
        return None if credentials is None else store.authenticate(tenant, *credentials)
    token = session_token(headers)
    return None if token is None else store.session(tenant, token)


def basic(authorization: str) -> tuple[str, str] | None:
    """Login and password of an Authorization header; None if it isn't well-formed Basic."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, separator, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (login, password) if separator else None


def session_token(headers: Mapping[str, str]) -> str | None:
    return cookie(headers, SESSION_COOKIE)


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
