"""Who is who in four services: the same person has a username here, an e-mail there and a number elsewhere."""

import re
from dataclasses import dataclass, field

from tac_rl.office.base import AGENT_CHAT, AGENT_FORGE, AGENT_TRACKER
from tac_rl.office.overlay import PersonOverlay

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass
class People:
    """The people that the services named so far. The agent's accounts are one person."""

    _by_username: dict[str, PersonOverlay] = field(default_factory=dict)
    _by_email: dict[str, str] = field(default_factory=dict)
    _by_name: dict[str, str] = field(default_factory=dict)

    def overlays(self) -> tuple[PersonOverlay, ...]:
        return tuple(self._by_username[username] for username in sorted(self._by_username))

    def add(
        self,
        username: str,
        name: str,
        email: str = "",
        *,
        bio: str = "",
        title: str = "",
        admin: bool = False,
    ) -> str:
        """Somebody whom a service names: found by e-mail or username, else new. Returns the office's username."""
        known = self._by_email.get(email.lower()) if email else None
        username = known or self.office_name(username)
        if username not in self._by_username:
            email = AGENT_TRACKER if username == AGENT_CHAT else email
            if email.lower() in self._by_email:
                email = ""
            self._by_username[username] = PersonOverlay(
                username=username,
                name=name or username,
                email=email or None,
                bio=bio,
                title=title,
                admin=admin or username == AGENT_CHAT,
            )
            self._by_name.setdefault((name or username).casefold(), username)
        if email:
            self._by_email.setdefault(email.lower(), username)
        return username

    def known(self, username: str = "", email: str = "", name: str = "") -> str | None:
        """The office's username of somebody who was added: by e-mail, then username, then full name."""
        if email and email.lower() in self._by_email:
            return self._by_email[email.lower()]
        office = self.office_name(username) if username else ""
        if office in self._by_username:
            return office
        return self._by_name.get(name.casefold()) if name else None

    @staticmethod
    def office_name(username: str) -> str:
        """A username that the office accepts: lower case, `root` of the forge being the agent."""
        folded = username.strip().lower()
        if folded in (AGENT_FORGE, AGENT_TRACKER):
            return AGENT_CHAT
        if _USERNAME.fullmatch(folded):
            return folded
        return re.sub(r"[^a-z0-9._-]+", "_", folded).lstrip("._-") or "somebody"
