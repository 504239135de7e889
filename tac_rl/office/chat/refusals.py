"""Why the chat refuses something: raised by the store, answered as Rocket.Chat's REST API does."""

from tac_rl.errors import TacRlError


class Refused(TacRlError):
    """The chat can't or won't do that: `reason` for people, `kind` is Rocket.Chat's `errorType`."""

    def __init__(self, kind: str, reason: str = "", status: int = 400) -> None:
        super().__init__(f"{reason} [{kind}]" if reason else f"[{kind}]")
        self.kind = kind
        self.status = status


class Failed(Refused):
    """A refusal for which Rocket.Chat has words but no `errorType`."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__("", reason, status)
        self.args = (reason,)


def not_allowed(reason: str = "Not allowed") -> Refused:
    return Refused("error-not-allowed", reason)


def unauthorized() -> Refused:
    """Somebody without the permission, where Rocket.Chat checks it before anything else."""
    return Refused("error-unauthorized", "User does not have the permissions required for this action", 403)


def forbidden() -> Refused:
    """The plain form of it."""
    return Failed("unauthorized", 403)
